"""recdistill: a large language model's judgement in a recommender, at the speed and price of a small model.

The way in: `recdistill.cli` parses, `recdistill.pipeline` runs the pipeline step by step, the packages below do the
work.

Shape letters, the same everywhere:

====  =======================================================
B     batch: histories, windows or rows handled together
L     history length in items (after padding)
T     tokens of a prompt (after padding)
D     width of the student (its `embedding_dim`)
H     width of the language model's hidden states
E     experts
R     adapter rank, all experts together
N     items in the catalog, numbered 1..N; 0 is padding
K     length of a ranked list (`top_k`)
====  =======================================================

Three conventions hold in every tensor and file. Items are 1..N and 0 is padding; people's own ids live at the edges
only. A user's history is in time order, and padding, where there is any, stands to the right of it. A target is named
by `(user, position)`: the item at `position` of that user's history, predicted from the items before it.
"""

__version__ = "0.1.0"
