"""FLOPs of a language model with a frozen base, on paper: a multiplication and an addition are two.

With n tokens in rows of T: a linear layer of P weights costs 2 P n going forward. Attention costs 4 A T n a block
(scores, and values weighted by them), the whole square counted: what a kernel that knows no causality executes, and
what plans count. What is *needed* is the half that causality leaves (:func:`causal_length` for T): measured
utilisation, of `bench` and of `benchmarks/ablation.py`, is of that.

Going back, a frozen layer needs the gradient of its input alone: as much as going forward, not twice as much.
Attention has no weights and needs two products for each of its two: twice as much. An adapter needs both: twice as
much. Checkpointing runs the blocks forward once more; that is work the model does not ask for, so utilisation of the
model's own FLOPs leaves it out (`recompute=False`), and time counts it in.
"""

from collections.abc import Sequence

from recdistill.plan.llm_shapes import LlmShapes


def causal_length(tokens: float) -> float:
    """Tokens that one in a row of `tokens` attends to under a causal mask, on average: itself and those before it."""
    return (tokens + 1) / 2


def forward_flops(shapes: LlmShapes, tokens: float, length: float) -> float:
    """FLOPs of the decoder blocks going forward, without vocabulary head and adapters.

    Args:
        shapes: the language model's.
        tokens: tokens in all, n.
        length: tokens of the row that each of them attends within, T; a :func:`causal_length` for what is needed.
    """
    return float(shapes.layers * tokens * (2 * shapes.used_parameters() + 4 * shapes.attention_dim * length))


def adapter_parameters(shapes: LlmShapes, names: Sequence[str], rank: int) -> int:
    """Weights of the adapters of all blocks: R (in + out) a layer."""
    layers = shapes.linear_layers()
    return shapes.layers * sum(rank * sum(layers[name]) for name in names)


def train_flops(
    shapes: LlmShapes,
    tokens: float,
    length: float,
    adapter_layers: Sequence[str] = (),
    rank: int = 0,
    recompute: bool = False,
) -> float:
    """FLOPs of the decoder blocks and adapters, forward and backward, the base frozen and its input trained.

    Args:
        shapes: the language model's.
        tokens: tokens in all, n.
        length: tokens of a row, T; a :func:`causal_length` for what is needed.
        adapter_layers: linear layers with adapters, by name.
        rank: the adapters' rank R.
        recompute: count checkpointing's second forward pass too. False for model-FLOPs utilisation.
    """
    linear = forward_flops(shapes, tokens, 0)
    attention = forward_flops(shapes, tokens, length) - linear
    adapters = 2.0 * adapter_parameters(shapes, adapter_layers, rank) * tokens
    forward = linear + attention + adapters
    backward = linear + 2 * attention + 2 * adapters
    return forward + backward + (forward if recompute else 0.0)


def head_flops(predictions: float, items: int, state_dim: int, train: bool) -> float:
    """FLOPs of scoring the whole catalog: 2 N S a prediction, and twice that going back."""
    return 2.0 * predictions * items * state_dim * (3 if train else 1)
