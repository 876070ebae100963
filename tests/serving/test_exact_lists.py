"""Lists by a scan in 8 bits are those of all scores."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recdistill.config import StudentConfig
from recdistill.errors import UserError
from recdistill.serving import exact_lists, onnx_engine
from recdistill.serving.engines import best_of
from recdistill.serving.exact_lists import ExactLists
from recdistill.serving.onnx_engine import OnnxEngine
from recdistill.serving.onnx_graph.graph import student_graph, write_graph
from recdistill.serving.onnx_library import import_onnxruntime
from recdistill.serving.scan_graph import TABLE, scan_graph
from recdistill.students.make import make_student

Floats = NDArray[np.float32]


def by_all_scores(
    vectors: Floats, states: Floats, top_k: int, hidden: list[list[int]]
) -> tuple[list[list[int]], Floats]:
    scores = np.stack([(vectors * state).sum(axis=1) for state in states])
    for row, out in zip(scores, hidden, strict=True):
        row[[0, *out]] = -np.inf
    best = best_of(scores, top_k)
    return best.tolist(), np.take_along_axis(scores, best, axis=1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["normal", "popular", "whole", "equal", "one long"]),
    dim=st.sampled_from([1, 3, 16, 64]),
    top_k=st.sampled_from([1, 10, 40]),
)
def test_the_list_is_that_of_all_scores(seed: int, kind: str, dim: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((3001, dim), dtype=np.float32)
    states = rng.standard_normal((3, dim), dtype=np.float32)
    match kind:
        case "popular":
            vectors *= rng.pareto(1.5, size=(3001, 1)).astype(np.float32)
        case "whole":
            vectors, states = np.rint(vectors), np.rint(states)
        case "equal":
            vectors = vectors[rng.integers(0, 20, size=3001)]
        case "one long":
            vectors[17] *= 1e4
    hidden = [[], [5, 17, 17], rng.permutation(np.arange(1, 3001))[:500].tolist()]
    items, scores = ExactLists(vectors).best(states, top_k, hidden)
    expected, values = by_all_scores(vectors, states, top_k, hidden)
    assert items.tolist() == expected
    np.testing.assert_array_equal(scores, values)


def test_most_lists_come_from_few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lists = ExactLists(rng.standard_normal((60_001, 64), dtype=np.float32))
    monkeypatch.setattr(lists, "_all", None)  # Calling it would fail.
    scored: list[int] = []
    scores = exact_lists._scores

    def watched(vectors: Floats, state: Floats) -> Floats:
        scored.append(len(vectors))
        return scores(vectors, state)

    monkeypatch.setattr(exact_lists, "_scores", watched)
    lists.best(rng.standard_normal((20, 64), dtype=np.float32), 10, None)
    assert len(scored) == 20
    assert max(scored) < 600


@pytest.mark.parametrize("state", [[0.0, 0.0], [1e-42, 0.0], [1e30, -1e30]])
def test_states_at_the_ends_of_the_range(state: list[float]) -> None:
    vectors = np.linspace(-1, 1, 8002, dtype=np.float32).reshape(-1, 2)
    items, _ = ExactLists(vectors).best(np.array([state], dtype=np.float32), 3, [[1]])
    assert items.tolist() == by_all_scores(vectors, np.array([state], np.float32), 3, [[1]])[0]


def test_where_fewer_than_k_are_left_the_rest_is_minus_infinity() -> None:
    vectors = np.ones((4000, 2), dtype=np.float32)
    items, scores = ExactLists(vectors).best(np.ones((1, 2), np.float32), 5, [list(range(1, 3997))])
    assert items[0, :3].tolist() == [3997, 3998, 3999]
    assert scores[0].tolist() == [2.0, 2.0, 2.0, -np.inf, -np.inf]


def test_vectors_and_states_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="a state is not finite"):
        ExactLists(np.ones((9, 1), dtype=np.float32)).best(np.array([[np.nan]], dtype=np.float32), 3, None)
    with pytest.raises(UserError, match="an item vector is not finite"):
        ExactLists(np.array([[0.0], [np.nan]], dtype=np.float32))


@pytest.mark.parametrize("value", [-127, 127])
@pytest.mark.parametrize("state", [1, 127])
def test_sums_are_exact_at_their_extremes(value: int, state: int) -> None:
    table = np.full((64, 33), value, dtype=np.int8)
    graph = scan_graph(33, 64)
    model = onnx.load_from_string(graph)
    assert model.graph.initializer[0].name == TABLE
    assert onnx.printer.to_text(model.graph).count("MatMulInteger") == 1
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.add_external_initializers([TABLE], [ort.OrtValue.ortvalue_from_numpy(table)])
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    for rows in (1, 5):
        sums = session.run(None, {"q": np.full((rows, 64), state, dtype=np.uint8)})[0]
        assert (sums == (state - 64) * value * 64).all()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_an_engine_with_a_large_catalog_answers_as_its_graph_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclude_seen: bool
) -> None:
    student = make_student(StudentConfig(embedding_dim=8, num_heads=1), 3000)
    write_graph(student_graph(student), tmp_path / "model.onnx", tmp_path / "vectors.npy")
    histories = [[1, 2, 3], [2999], list(range(1, 200)), [5, 5]]
    by_graph = OnnxEngine(tmp_path / "model.onnx", tmp_path / "vectors.npy", 50)
    monkeypatch.setattr(onnx_engine, "LARGE", 1000)
    by_scan = OnnxEngine(tmp_path / "model.onnx", tmp_path / "vectors.npy", 50)
    expected, found = (one.best(histories, 10, exclude_seen) for one in (by_graph, by_scan))
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
    assert np.array_equal(by_graph.states(histories), by_scan.states(histories))
