"""The blocks of model `sasrec` as ONNX nodes, over all positions or over each history's last item alone.

For the last item's softmax attention no key or value is computed. With the normalised input h_j of each position and
one head's matrices, q · k_j = (W_kᵀ q) · h_j + a term that is the same for all j, which softmax does not feel; and the
mean of the values is the mean of the h_j, times W_v. Both products with the last item's own matrices are made
beforehand (in float64), so a block costs B·L·D operations a head for what took B·L·D².
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recdistill.serving.onnx_graph.builder import RUNTIME, Builder
from recdistill.students.hstu import HSTUBlock
from recdistill.students.ligr import LiGRBlock
from recdistill.students.sasrec import Block

SoftmaxBlock = Block | LiGRBlock


@dataclass(frozen=True)
class Histories:
    """Names of what all blocks read about the histories.

    Attributes:
        length: int64 (1,), L.
        last: int64 (B, 1), the position of the last item.
        mask: float32 (B, 1, L), 0 at items and -inf at padding.
    """

    length: str
    last: str
    mask: str


def block_states(graph: Builder, block: nn.Module, x: str, histories: Histories) -> str:
    """One block over all positions: (B, L, D) → (B, L, D)."""
    shape = graph.op("Shape", x)
    if isinstance(block, HSTUBlock):
        states = _hstu(graph, block, x, histories, last=False)
    elif isinstance(block, SoftmaxBlock):
        h = graph.norm(x, block.attention_norm)
        dim = block.output.in_features
        states = _rest(graph, block, graph.flat(x, dim), graph.flat(_attention(graph, block, h), dim))
    else:
        raise TypeError(f"no graph for {type(block).__name__}")
    return graph.op("Reshape", states, shape)


def last_state(graph: Builder, block: nn.Module, x: str, histories: Histories) -> str:
    """One block for the last item of each history: (B, L, D) → (B, D)."""
    if isinstance(block, HSTUBlock):
        return _hstu(graph, block, x, histories, last=True)
    if isinstance(block, SoftmaxBlock):
        h = graph.norm(x, block.attention_norm)
        mixed = _last_attention(graph, block, h, histories)
        return _rest(graph, block, _pick(graph, x, histories), mixed, projected=True)
    raise TypeError(f"no graph for {type(block).__name__}")


def _pick(graph: Builder, x: str, histories: Histories) -> str:
    """The last item's row: (B, L, D) → (B, D)."""
    return graph.op("GatherND", x, histories.last, batch_dims=1)


def _attention(graph: Builder, block: SoftmaxBlock, h: str) -> str:
    """Causal softmax attention before its output layer: (B, L, D) → (B, L, D)."""
    layer = block.query_key_value
    weights = graph.constant(layer.weight.T), graph.constant(layer.bias)
    return graph.op("Attention", h, *weights, domain=RUNTIME, num_heads=block.heads, unidirectional=1)


def _last_attention(graph: Builder, block: SoftmaxBlock, h: str, histories: Histories) -> str:
    """The last item's attention and its output layer: (B, L, D) → (B, D)."""
    dim, heads = block.output.in_features, block.heads
    width = dim // heads
    weight = block.query_key_value.weight.detach().double().numpy().reshape(3, heads, width, dim)
    bias = block.query_key_value.bias.detach().double().numpy().reshape(3, heads, width)
    output = block.output.weight.detach().double().numpy()
    ask = np.einsum("hwd,hwe->hed", weight[0], weight[1]).reshape(heads * dim, dim) / width**0.5
    ask_bias = np.einsum("hw,hwe->he", bias[0], weight[1]).reshape(-1) / width**0.5
    query = graph.affine(_pick(graph, h, histories), ask, ask_bias)
    query = graph.op("Reshape", query, graph.numbers(-1, heads, dim))
    scores = graph.op("MatMul", query, graph.op("Transpose", h, perm=[0, 2, 1]))  # (B, heads, L)
    shares = graph.op("Softmax", graph.op("Add", scores, histories.mask), axis=-1)
    means = graph.flat(graph.op("MatMul", shares, h), heads * dim)  # (B, heads · D)
    give = np.einsum("ohw,hwe->ohe", output.reshape(dim, heads, width), weight[2]).reshape(dim, heads * dim)
    return graph.affine(means, give, output @ bias[2].reshape(-1) + block.output.bias.detach().double().numpy())


def _rest(graph: Builder, block: SoftmaxBlock, x: str, mixed: str, projected: bool = False) -> str:
    """What follows the attention, over rows: x and mixed (M, D) → (M, D)."""
    if not projected:
        mixed = graph.linear(mixed, block.output)
    if isinstance(block, LiGRBlock):
        x = graph.op("Add", x, graph.op("Mul", graph.op("Sigmoid", graph.linear(x, block.attention_gate)), mixed))
        y = graph.norm(x, block.mlp_norm)
        hidden = block.mlp.down.in_features
        weight = block.mlp.gate_and_up.weight.detach().numpy()
        up = graph.affine(y, weight[hidden:], None)
        gated = graph.op("Mul", graph.silu(graph.affine(y, weight[:hidden], None)), up)
        gate = graph.op("Sigmoid", graph.linear(x, block.mlp_gate))
        return graph.op("Add", x, graph.op("Mul", gate, graph.linear(gated, block.mlp.down)))
    x = graph.op("Add", x, mixed)
    first, second = (one for one in block.mlp if isinstance(one, nn.Linear))
    hidden_rows = graph.op("Relu", graph.linear(graph.norm(x, block.mlp_norm), first))
    return graph.op("Add", x, graph.linear(hidden_rows, second))


def _hstu(graph: Builder, block: HSTUBlock, x: str, histories: Histories, last: bool) -> str:
    """An HSTU block: (B, L, D) → (B·L, D), or the last items' (B, D)."""
    dim, heads, most = block.output.in_features, block.heads, block.max_length
    split = graph.numbers(0, 0, heads, dim // heads)
    h = graph.flat(graph.norm(x, block.norm), dim)
    weight, bias = block.projection.weight.detach().numpy(), block.projection.bias.detach().numpy()

    def part(rows: str, index: int) -> str:
        """One of gate, value, query and key, over rows."""
        of = slice(index * dim, (index + 1) * dim)
        return graph.silu(graph.affine(rows, weight[of], bias[of]))

    def by_head(rows: str, positions: str) -> str:
        """(B·P, D) → (B, heads, P, D / heads)."""
        shape = graph.op("Concat", graph.numbers(-1), positions, graph.numbers(dim), axis=0)
        return graph.op("Transpose", graph.op("Reshape", graph.op("Reshape", rows, shape), split), perm=[0, 2, 1, 3])

    asking, count = h, histories.length
    if last:
        asking = _pick(graph, graph.op("Reshape", h, graph.op("Shape", x)), histories)
        count = graph.numbers(1)
    scores = graph.op(
        "MatMul",
        by_head(part(asking, 2), count),
        graph.op("Transpose", by_head(part(h, 3), histories.length), perm=[0, 1, 3, 2]),
    )
    places = np.arange(most)
    distance = block.distance_bias.detach().numpy()[np.maximum(places[:, None] - places, 0)]
    reach = np.tril(np.full((most, most), 1 / most, dtype=np.float32))
    distances, share = (_rows(graph, table, histories, last) for table in (distance, reach))
    shares = graph.op("Mul", graph.silu(graph.op("Add", scores, distances)), share)
    mixed = graph.op("MatMul", shares, by_head(part(h, 1), histories.length))
    mixed = graph.norm(graph.flat(graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), dim), block.mixed_norm)
    before = _pick(graph, x, histories) if last else graph.flat(x, dim)
    return graph.op("Add", before, graph.linear(graph.op("Mul", part(asking, 0), mixed), block.output))


def _rows(graph: Builder, table: NDArray[np.floating], histories: Histories, last: bool) -> str:
    """Of a table by position and earlier position: (L, L), or the last items' rows (B, 1, 1, L)."""
    zero, ends = graph.numbers(0), histories.length
    if not last:
        both = graph.op("Concat", ends, ends, axis=0)
        return graph.op("Slice", graph.constant(table), graph.numbers(0, 0), both)
    rows = graph.op("Gather", graph.constant(table), histories.last)  # (B, 1, max_length)
    return graph.op("Unsqueeze", graph.op("Slice", rows, zero, ends, graph.numbers(2)), graph.numbers(1))
