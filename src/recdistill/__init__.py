"""recdistill: distils an LLM recommender into a small sequential recommender.

    from recdistill import Recommender, RunConfig, compare, run

is the public face, with :class:`UserError` and the sections of a configuration (`recdistill.config`); `docs/api.md`
says what is stable. `recdistill.cli` parses, `recdistill.pipeline` runs the pipeline step by step, the packages below
do the work.

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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recdistill.errors import UserError
from recdistill.version import __version__

if TYPE_CHECKING:
    from recdistill.config import RunConfig
    from recdistill.evaluation.compare import compare
    from recdistill.pipeline import run
    from recdistill.serving.answers import Answer, Reason, Recommendation
    from recdistill.serving.recommender import Recommender

__all__ = [
    "Answer",
    "Reason",
    "Recommendation",
    "Recommender",
    "RunConfig",
    "UserError",
    "__version__",
    "compare",
    "run",
]

LAZY = {
    "RunConfig": "recdistill.config",
    "compare": "recdistill.evaluation.compare",
    "run": "recdistill.pipeline",
    "Answer": "recdistill.serving.answers",
    "Reason": "recdistill.serving.answers",
    "Recommendation": "recdistill.serving.answers",
    "Recommender": "recdistill.serving.recommender",
}
"""Public names and the modules they come from, imported at first use: torch takes seconds, and a bundle needs none."""


def __getattr__(name: str) -> Any:
    """A public name that has not been imported yet."""
    if name in LAZY:
        found = getattr(import_module(LAZY[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'recdistill' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those not imported yet included."""
    return sorted({*globals(), *LAZY})
