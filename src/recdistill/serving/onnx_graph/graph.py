"""A trained student as an ONNX graph: item numbers in, the best items out.

Inputs, all int64:
    items (B, L)   the latest items of each history, 1..N, padded on the right with 0; at least one item in each row,
                   and L at most `max_length`
    seen (B, M)    items to leave out of each row's answer; 0 leaves nothing out
    k (1,)         how many items, at most N

Outputs:
    top_items int64 (B, k)     best first; of equal scores the lower item number, as ONNX orders TopK
    top_scores float32 (B, k)  -inf where nothing is left; the item there means nothing
    state float32 (B, S)       an item's score is its vector · state; S is D, or D + W with a part for similar titles

An answer follows from the state after the last item, so the last block computes no other
(:mod:`recdistill.serving.onnx_graph.blocks`). Scores differ from torch's by rounding. The item vectors lie outside of
the file, in a `.npy` beside it, which Python maps too. The operators are those of ONNX 18 and, for blocks before the
last, onnxruntime's own `Attention`, which is faster there than a graph of the standard's parts.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

from recdistill.serving.onnx_graph.blocks import Histories, block_states, last_state
from recdistill.serving.onnx_graph.builder import VERSIONS, Builder
from recdistill.storage.files import atomic_path, write_array
from recdistill.students.base import Student
from recdistill.students.gru4rec import GRU4Rec
from recdistill.students.sasrec import SASRec
from recdistill.students.title_similarity import TitleSimilarity

TABLE = "item_vectors"
IR_VERSION = 10
"""Of the file format; 10 is what onnxruntime reads since 1.18."""


def student_graph(student: Student) -> onnx.ModelProto:
    """The graph of a student, its item vectors inside.

    Args:
        student: a trained one, on the CPU.

    Raises:
        TypeError: there is no graph for its kind.
    """
    graph = Builder()
    table = graph.constant(student.item_vectors(), TABLE)
    vectors, similarity, titles = graph.op("Gather", table, "items"), student.similarity, ""
    if similarity is not None:
        widths = graph.numbers(student.config.embedding_dim, similarity.dim)
        vectors, titles = graph.ops("Split", 2, vectors, widths, axis=2)
    if isinstance(student, SASRec):
        state = _sasrec(graph, student, vectors)
    elif isinstance(student, GRU4Rec):
        state = _gru4rec(graph, student, vectors)
    else:
        raise TypeError(f"no graph for {type(student).__name__}")
    if similarity is not None:
        graph.op("Concat", state, _decayed_mean(graph, similarity, titles), axis=1)
    _answer(graph, table)
    return _model(graph, student.state_dim)


def write_graph(model: onnx.ModelProto, path: Path, vectors: Path) -> None:
    """Write a graph to `path` and its item vectors (.npy) to `vectors`, which lies beside it and is read by it."""
    table = next(one for one in model.graph.initializer if one.name == TABLE)
    array = onnx.numpy_helper.to_array(table)
    write_array(vectors, array)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_outside(model, vectors, array.shape).SerializeToString())


def resized_graph(path: Path, vectors: Path) -> bytes:
    """The graph in `path`, for item vectors of another number in a file of the same name.

    Args:
        path: a graph that :func:`write_graph` wrote.
        vectors: the new item vectors (.npy), float32 (N + 1, D).
    """
    model = onnx.load(path, load_external_data=False)
    return bytes(_outside(model, vectors, np.load(vectors, mmap_mode="r").shape).SerializeToString())


def _outside(model: onnx.ModelProto, vectors: Path, shape: Iterable[int]) -> onnx.ModelProto:
    """A copy of a graph whose item vectors lie in a `.npy` file: behind its header, as they stand in memory."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    table = next(one for one in copy.graph.initializer if one.name == TABLE)
    size = vectors.stat().st_size
    held = 4 * int(np.prod(list(shape)))
    table.ClearField("raw_data")
    del table.external_data[:], table.dims[:]
    table.dims.extend(shape)
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", vectors.name), ("offset", size - held), ("length", held)):
        table.external_data.add(key=key, value=str(value))
    return copy


def _sasrec(graph: Builder, student: SASRec, vectors: str) -> str:
    """(B, L, D) → (B, D)."""
    histories = _histories(graph)
    positions = graph.op("Slice", graph.constant(student.positions), graph.numbers(0), histories.length)
    x = graph.op("Add", vectors, positions)
    *blocks, last = student.blocks
    for block in blocks:
        x = block_states(graph, block, x, histories)
    return graph.norm(last_state(graph, last, x, histories), student.norm)


def _histories(graph: Builder) -> Histories:
    real = graph.op("Sign", "items")
    count = graph.op("ReduceSum", real, graph.numbers(1), keepdims=1)
    mask = graph.op("Log", graph.op("Cast", real, to=TensorProto.FLOAT))
    return Histories(
        length=graph.op("Shape", "items", start=1, end=2),
        last=graph.op("Sub", count, graph.numbers(1)),
        mask=graph.op("Unsqueeze", mask, graph.numbers(1)),
    )


def _gru4rec(graph: Builder, student: GRU4Rec, vectors: str) -> str:
    """(B, L, D) → (B, D). torch orders the gates reset, update, new; ONNX update, reset, hidden."""
    dim = student.config.embedding_dim
    x = graph.op("Mul", graph.op("Transpose", vectors, perm=[1, 0, 2]), graph.constant(np.float32(dim**0.5)))
    count = graph.op("ReduceSum", graph.op("Sign", "items"), graph.numbers(1), keepdims=0)
    lengths = graph.op("Cast", count, to=TensorProto.INT32)
    state = ""
    for layer in range(student.config.num_layers):
        weights = [_gates(getattr(student.gru, f"weight_{kind}_l{layer}"))[None] for kind in ("ih", "hh")]
        bias = np.concatenate([_gates(getattr(student.gru, f"bias_{kind}_l{layer}")) for kind in ("ih", "hh")])[None]
        constants = [graph.constant(one) for one in (*weights, bias)]
        states, state = graph.ops("GRU", 2, x, *constants, lengths, hidden_size=dim, linear_before_reset=1)
        x = graph.op("Squeeze", states, graph.numbers(1))  # (L, 1, B, D) → (L, B, D)
    last = graph.op("Squeeze", state, graph.numbers(0))
    return graph.norm(graph.linear(last, student.output), student.norm)


def _decayed_mean(graph: Builder, similarity: TitleSimilarity, titles: str) -> str:
    """Title vectors (B, L, W) of the histories to their weighted mean, times the weight of this part: (B, W)."""
    real, axis = graph.op("Sign", "items"), graph.numbers(1)
    last = graph.op("Sub", graph.op("ReduceSum", real, axis, keepdims=1), axis)
    length = graph.op("Squeeze", graph.op("Shape", "items", start=1, end=2))
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    ages = graph.op("Max", graph.op("Sub", last, graph.op("Range", zero, length, one)), zero)
    decay = graph.constant(np.float32(similarity.decay))
    powers = graph.op("Pow", decay, graph.op("Cast", ages, to=TensorProto.FLOAT))
    weights = graph.op("Mul", powers, graph.op("Cast", real, to=TensorProto.FLOAT))
    shares = graph.op("Div", weights, graph.op("ReduceSum", weights, axis, keepdims=1))
    mean = graph.op("MatMul", graph.op("Unsqueeze", shares, axis), titles)
    return graph.op("Mul", graph.op("Squeeze", mean, axis), graph.constant(np.float32(similarity.weight)))


def _gates(weight: Tensor) -> NDArray[np.float32]:
    reset, update, new = np.split(weight.detach().numpy(), 3)
    gates: NDArray[np.float32] = np.concatenate([update, reset, new])
    return gates


def _answer(graph: Builder, table: str) -> None:
    """The last node's output is the state: scores, without the padding and what was seen; the best k."""
    graph.nodes[-1].output[0] = state = "state"
    scores = graph.op("Gemm", state, table, transB=1)
    seen = graph.op("Pad", "seen", graph.numbers(0, 0, 0, 1))  # the padding is left out of every row
    lowest = onnx.numpy_helper.from_array(np.array([-np.inf], dtype=np.float32))
    never = graph.op("ConstantOfShape", graph.op("Shape", seen), value=lowest)
    left = graph.op("ScatterElements", scores, seen, never, axis=1)
    graph.nodes.append(onnx.helper.make_node("TopK", [left, "k"], ["top_scores", "top_items"], axis=1))


def _model(graph: Builder, dim: int) -> onnx.ModelProto:
    info = onnx.helper.make_tensor_value_info
    inputs = [
        info("items", TensorProto.INT64, ["B", "L"]),
        info("seen", TensorProto.INT64, ["B", "M"]),
        info("k", TensorProto.INT64, [1]),
    ]
    outputs = [
        info("top_items", TensorProto.INT64, ["B", "K"]),
        info("top_scores", TensorProto.FLOAT, ["B", "K"]),
        info("state", TensorProto.FLOAT, ["B", dim]),
    ]
    made = onnx.helper.make_graph(graph.nodes, "student", inputs, outputs, graph.constants)
    sets = [onnx.helper.make_opsetid(domain, version) for domain, version in VERSIONS.items()]
    return onnx.helper.make_model(made, opset_imports=sets, ir_version=IR_VERSION, producer_name="recdistill")
