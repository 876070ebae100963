"""A student's graph gives the scores that torch gives."""

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from recdistill.config import StudentConfig
from recdistill.serving.engines import best_of, padded
from recdistill.serving.onnx_engine import CHUNK, OnnxEngine
from recdistill.serving.onnx_graph import student_graph, write_graph
from recdistill.serving.onnx_graph.quantised import quantise
from recdistill.serving.torch_engine import TorchEngine
from recdistill.students.base import Student
from recdistill.students.make import make_student

ITEMS, LENGTH = 60, 7
KINDS: dict[str, dict[str, object]] = {
    "sasrec": {},
    "one block": {"num_layers": 1},
    "four heads": {"num_layers": 3, "num_heads": 4, "ffn_multiplier": 2},
    "ligr": {"block": "ligr", "ffn_multiplier": 2},
    "hstu": {"block": "hstu"},
    "one hstu block": {"block": "hstu", "num_layers": 1},
    "gru4rec": {"model": "gru4rec"},
    "one gru layer": {"model": "gru4rec", "num_layers": 1},
    "similar titles": {},
    "gru4rec, similar titles": {"model": "gru4rec"},
}


def random_student(seed: int = 1, similar: int = 0, /, **shape: object) -> Student:
    torch.manual_seed(seed)
    student = make_student(StudentConfig(embedding_dim=8, max_length=LENGTH, **shape), ITEMS)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        student.items.ids[0] = 0
    if similar:
        titles = torch.randn(ITEMS + 1, similar)
        titles[0] = 0
        student.see_similarity(titles, 0.05, 0.7)  # 0.05 to the power of minus a history's padding would overflow
    return student.eval()


def engines(student: Student, folder: Path) -> tuple[OnnxEngine, TorchEngine]:
    write_graph(student_graph(student), folder / "model.onnx", folder / "vectors.npy")
    return OnnxEngine(folder / "model.onnx", folder / "vectors.npy", LENGTH), TorchEngine(student)


def random_histories(count: int) -> list[list[int]]:
    draw = np.random.default_rng(5)
    return [draw.integers(1, ITEMS + 1, size=draw.integers(1, 3 * LENGTH)).tolist() for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_answers_are_torchs_for_every_kind_of_student(kind: str, exclude_seen: bool, tmp_path: Path) -> None:
    ours, theirs = engines(random_student(1, 5 if "similar" in kind else 0, **KINDS[kind]), tmp_path)
    histories = random_histories(CHUNK + 20)  # of mixed lengths, in two passes
    for asked in (histories, histories[:1]):
        items, scores = ours.best(asked, 5, exclude_seen)
        wanted, expected = theirs.best(asked, 5, exclude_seen)
        np.testing.assert_array_equal(items, wanted)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.states(histories), theirs.states(histories), rtol=1e-4, atol=1e-5)


def test_the_whole_catalog_is_listed_once_without_the_padding(tmp_path: Path) -> None:
    student = random_student()
    with torch.no_grad():
        student.items.ids[1:] -= 3.0  # most scores are below the padding's, which would be 0
    for engine in engines(student, tmp_path):
        items, scores = engine.best([[1, 2]], ITEMS, exclude_seen=True)
        assert np.isneginf(scores[0][-2:]).all()  # what these two are means nothing
        assert np.isfinite(scores[0][:-2]).all()
        assert sorted(items[0][:-2]) == list(range(3, ITEMS + 1))


def test_of_equal_scores_the_lower_number_comes_first(tmp_path: Path) -> None:
    student = random_student()
    with torch.no_grad():
        student.items.ids[10:] = student.items.ids[10]
    for engine in engines(student, tmp_path):
        items, _ = engine.best([[1, 2, 3]], ITEMS, exclude_seen=False)
        same = [item for item in items[0] if item >= 10]
        assert same == sorted(same)
        few, _ = engine.best([[1, 2, 3]], list(items[0]).index(10) + 3, exclude_seen=False)
        assert list(few[0]) == list(items[0][: len(few[0])])


def test_best_of_orders_by_score_and_then_by_column() -> None:
    scores = np.array([[1, 3, 3, 2, 3, -np.inf], [0, 0, 0, 0, 0, 5]], dtype=np.float32)
    assert best_of(scores, 2).tolist() == [[1, 2], [5, 0]]
    assert best_of(scores, 4).tolist() == [[1, 2, 4, 3], [5, 0, 1, 2]]
    assert best_of(scores, 6).tolist() == [[1, 2, 4, 3, 0, 5], [5, 0, 1, 2, 3, 4]]


def test_padding_stands_to_the_right() -> None:
    assert padded([[1], [2, 3, 4]], 2).tolist() == [[1, 0], [3, 4]]


def test_the_graph_is_whole_and_its_vectors_lie_beside_it(tmp_path: Path) -> None:
    student = random_student()
    engines(student, tmp_path)
    onnx.checker.check_model(tmp_path / "model.onnx")
    inside = onnx.load(tmp_path / "model.onnx")
    table = next(one for one in inside.graph.initializer if one.name == "item_vectors")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(table), student.item_vectors().detach().numpy())
    held = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    table = next(one for one in held.graph.initializer if one.name == "item_vectors")
    assert not table.raw_data


def test_any_program_with_onnxruntime_gets_the_same_answer(tmp_path: Path) -> None:
    _, theirs = engines(random_student(), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {"items": np.array([[4, 9, 0], [1, 2, 3]]), "seen": np.array([[4, 9], [0, 0]]), "k": np.array([3])}
    items, scores, state = session.run(["top_items", "top_scores", "state"], feed)
    np.testing.assert_array_equal(items[0], theirs.best([[4, 9]], 3, exclude_seen=True)[0][0])
    np.testing.assert_array_equal(items[1], theirs.best([[1, 2, 3]], 3, exclude_seen=False)[0][0])
    np.testing.assert_allclose(scores[:, 0], (theirs.item_vectors[items[:, 0]] * state).sum(1), rtol=1e-4)


def test_8_bits_give_nearly_the_same_scores_and_set_up_no_logging(tmp_path: Path) -> None:
    ours, _ = engines(random_student(), tmp_path)
    handlers = list(logging.getLogger().handlers)
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    assert logging.getLogger().handlers == handlers
    small = OnnxEngine(tmp_path / "int8.onnx", tmp_path / "vectors.npy", LENGTH, alone=True)
    histories = random_histories(40)
    exact, rounded = ours.states(histories), small.states(histories)
    assert not np.array_equal(exact, rounded)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.99


def test_8_bits_do_not_depend_on_what_is_asked_beside(tmp_path: Path) -> None:
    engines(random_student(), tmp_path)
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    files = tmp_path / "int8.onnx", tmp_path / "vectors.npy", LENGTH
    histories = random_histories(20)
    alone = np.concatenate([OnnxEngine(*files, alone=True).states([one]) for one in histories])
    np.testing.assert_array_equal(OnnxEngine(*files, alone=True).states(histories), alone)
    # onnxruntime takes one scale for all of a pass, so that together they come out otherwise: why `alone` is there.
    assert not np.array_equal(OnnxEngine(*files).states(histories), alone)
