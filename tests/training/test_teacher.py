"""What the teacher's training adds to `fit`: groups, targets, and the weight of the correction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recdistill.config import AdapterConfig, EvaluateConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.protocol import validation_metrics
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.students.make import make_student, save_student
from recdistill.teacher.scorers import ReadOnce, TeacherScorer
from recdistill.teacher.teacher import Teacher
from recdistill.training import teacher
from recdistill.training.checkpoint import trained_parameters
from recdistill.training.correction import CORRECTION_WEIGHTS, TITLE_WEIGHTS, choose_weight
from recdistill.training.teacher import TeacherTraining

ITEMS = 30


def make_data() -> PreparedData:
    generator = np.random.default_rng(0)
    lengths = np.full(40, 8)
    return PreparedData(
        items=np.concatenate([generator.permutation(ITEMS)[:8] + 1 for _ in lengths]).astype(np.int32),
        timestamps=np.arange(320, dtype=np.int64),
        offsets=np.arange(0, 321, 8, dtype=np.int64),
        train_ends=np.full(40, 6, dtype=np.int32),
        validation_ends=np.full(40, 7, dtype=np.int32),
        titles=["", *(f"Film {item}" for item in range(1, ITEMS + 1))],
        item_ids=["", *(str(item) for item in range(1, ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


def make_training(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **others: Any) -> TeacherTraining:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    student = StudentConfig(embedding_dim=16, num_layers=1, max_length=10)
    settings: dict[str, Any] = {
        "llm": str(tiny_llm),
        "layers": 2,
        "history_length": 10,
        "head_dim": 8,
        "title_encoder": "llm",
        "title_decay": 0.0,
    } | others
    config = RunConfig(student=student, teacher=TeacherConfig(**settings, adapter=AdapterConfig(dropout=0.0)))
    torch.manual_seed(0)
    save_student(make_student(student, ITEMS), tmp_path)
    teacher = Teacher(config, make_data(), tmp_path, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        teacher.ranker.head.query.weight.copy_(torch.randn(8, 64, generator=generator))
    return TeacherTraining(teacher, seed=0)


@pytest.fixture
def training(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeacherTraining:
    return make_training(tiny_llm, tmp_path, monkeypatch)


@pytest.fixture
def with_titles(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeacherTraining:
    training = make_training(tiny_llm, tmp_path, monkeypatch, title_decay=0.5)
    vectors = training.module.head.title_vectors  # the tiny language model tells no two titles apart
    vectors.copy_(torch.randn(vectors.shape, generator=torch.Generator().manual_seed(2)))
    return training


def test_lengths_of_a_micro_batch_cost_no_pass_over_all_events(
    training: TeacherTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passed() -> Any:
        raise AssertionError("all events were gathered again")

    monkeypatch.setattr(training.teacher.prompts, "tokens_per_item", passed)
    rows = np.arange(4)
    assert training.collate(rows).prompt_tokens.tolist() == training.lengths[rows].tolist()


def test_the_weight_is_the_best_of_the_list_on_validation(training: TeacherTraining) -> None:
    chosen = training.validate()
    head = training.module.head
    weight = float(head.correction_weight)
    found = {}
    for candidate in CORRECTION_WEIGHTS:  # the same reading, one weight at a time, by the scorer that tests use
        head.correction_weight.data.fill_(candidate)
        found[candidate] = validation_metrics(TeacherScorer(training.teacher), training.teacher.data, EvaluateConfig())[
            "ndcg@10"
        ]
    assert chosen["ndcg@10"] == pytest.approx(max(found.values()), abs=1e-9)
    assert found[weight] == max(found.values())
    assert len({round(value, 6) for value in found.values()}) > 1


def test_the_titles_get_the_best_weight_beside_the_chosen_correction(with_titles: TeacherTraining) -> None:
    with_titles.module.head.query.weight.data.mul_(0.01)  # a correction that does not drown the titles
    chosen = with_titles.validate()
    head, data = with_titles.module.head, with_titles.teacher.data
    assert head.titles_weight is not None
    titles, correction = float(head.titles_weight), float(head.correction_weight)
    assert titles in TITLE_WEIGHTS
    read = validation_metrics(TeacherScorer(with_titles.teacher), data, EvaluateConfig())["ndcg@10"]
    assert chosen["ndcg@10"] == pytest.approx(read, abs=1e-9)  # the weights kept are those that were validated
    for other in CORRECTION_WEIGHTS:
        head.correction_weight.data.fill_(other)
        assert validation_metrics(TeacherScorer(with_titles.teacher), data, EvaluateConfig())["ndcg@10"] <= read + 1e-9
    head.correction_weight.data.fill_(correction)
    head.titles_weight.data.fill_(0.0)
    without = validation_metrics(TeacherScorer(with_titles.teacher), data, EvaluateConfig())["ndcg@10"]
    assert without <= read + 1e-9
    head.titles_weight.data.fill_(4.0)
    assert validation_metrics(TeacherScorer(with_titles.teacher), data, EvaluateConfig())["ndcg@10"] != pytest.approx(
        without, abs=1e-6
    )


@pytest.mark.parametrize(("trained", "different"), [(False, len(TITLE_WEIGHTS)), (True, None)])
def test_what_gives_the_same_scores_is_ranked_once(
    with_titles: TeacherTraining, monkeypatch: pytest.MonkeyPatch, trained: bool, different: int | None
) -> None:
    """An untrained correction is zero whatever its weight; the metrics and weights are those of ranking every pair."""
    head, data = with_titles.module.head, with_titles.teacher.data
    assert head.titles_weight is not None
    head.query.weight.data.mul_(0.01 if trained else 0.0)
    head.correction_weight.data.fill_(1.0)
    head.titles_weight.data.fill_(1.0)
    read, pairs = ReadOnce(with_titles.teacher, with_titles.validation), set()

    def each(correction: float, titles: float) -> dict[str, float]:
        pairs.add((correction, titles))
        read.correction_weight, read.titles_weight = correction, titles
        return validation_metrics(read, data, EvaluateConfig())

    rankings: list[Any] = []
    first, _ = choose_weight(lambda weight: each(weight, 0.0))
    titles, _ = choose_weight(lambda weight: each(first, weight), TITLE_WEIGHTS)
    last, expected = choose_weight(lambda weight: each(weight, titles))

    def counted(*given: Any) -> dict[str, float]:
        rankings.append(given)
        return validation_metrics(*given)

    monkeypatch.setattr(teacher, "validation_metrics", counted)
    assert with_titles.validate() == expected
    assert float(head.correction_weight) == last
    assert float(head.titles_weight) == pytest.approx(titles)
    assert len(rankings) == (different or len(pairs))
    assert len(pairs) > len(TITLE_WEIGHTS)


def test_titles_are_hidden_in_training_and_are_none_of_its_gradients(with_titles: TeacherTraining) -> None:
    batch = with_titles.collate(with_titles.plan(0)[0])
    head = with_titles.module.head
    assert head.titles_weight is not None
    losses = []
    for weight in (0.0, 4.0):
        head.titles_weight.data.fill_(weight)
        with_titles.module.train()
        losses.append(with_titles.loss(batch))
    assert losses[0] == losses[1]
    losses[1].backward()
    assert head.titles_weight.grad is None


def test_items_without_a_title_are_no_text_and_no_likeness(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untitled = replace(make_data(), titles=[""] * (ITEMS + 1))
    monkeypatch.setitem(make_training.__globals__, "make_data", lambda: untitled)
    training = make_training(tiny_llm, tmp_path, monkeypatch, title_decay=0.5)
    head = training.module.head
    assert not head.title_vectors.any()
    training.validate()
    assert head.titles_weight == 0
    with pytest.raises(UserError, match=r"teacher\.prompt: no item has a title"):
        make_training(tiny_llm, tmp_path, monkeypatch, prompt="text")


def test_scores_are_student_correction_and_the_likeness_of_titles(with_titles: TeacherTraining) -> None:
    head = with_titles.module.head.eval()
    assert head.titles_weight is not None
    student, hidden, faded = torch.randn(3, 16), torch.randn(3, 64), torch.randn(3, head.title_vectors.shape[1])
    parts = []
    for weight in (0.0, 1.0):
        head.titles_weight.data.fill_(weight)
        parts.append(head.states(student, hidden, faded) @ head.item_vectors().T)
    torch.testing.assert_close((parts[1] - parts[0])[:, 1:], faded @ head.title_vectors[1:].T, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="a title profile"):
        head.states(student, hidden)


def test_the_weight_does_not_scale_training(training: TeacherTraining) -> None:
    batch = training.collate(training.plan(0)[0])
    training.module.train()
    losses = []
    for weight in (0.25, 1.5):
        training.module.head.correction_weight.data.fill_(weight)
        losses.append(float(training.loss(batch)))
    assert losses[0] == losses[1]


def test_hidden_students_leave_the_correction_alone_in_training(training: TeacherTraining) -> None:
    states = torch.randn(5, 16), torch.randn(5, 64)
    head = training.module.head.train()
    assert head.student_dropout == 1.0
    assert head.states(*states)[:, :16].abs().max() == 0
    torch.testing.assert_close(head.eval().states(*states)[:, :16], states[0])


def test_every_training_target_counts_once(training: TeacherTraining) -> None:
    total = sum(training.num_targets(training.collate(rows)) for rows in training.plan(3))
    assert total == len(training.teacher.data.targets("train"))


def test_all_that_is_trained_is_in_one_group(training: TeacherTraining) -> None:
    groups = training.parameter_groups()
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trained = [id(parameter) for parameter in training.module.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trained)
    assert sorted(group.get("lr", 1.0) for group in groups) == [0.3, 1.0, 1.0]


@pytest.mark.parametrize("padding", ["bucketed", "packed"])
def test_gradients_of_micro_batches_add_up_to_the_large_batchs(training: TeacherTraining, padding: str) -> None:
    object.__setattr__(training.teacher.config, "padding", padding)
    rows = np.arange(12)
    found = []
    for pieces in ([rows], np.split(rows, [1, 5, 8])):
        training.module.zero_grad()
        targets = sum(training.num_targets(training.collate(piece)) for piece in pieces)
        for piece in pieces:
            (training.loss(training.collate(piece)) / targets).backward()
        found.append(
            {
                name: one.grad.clone()
                for name, one in trained_parameters(training.module).items()
                if one.grad is not None
            }
        )
    assert len(found[0]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5 + 1e-4 * float(gradient.abs().max()))


def test_a_student_with_titles_needs_titles(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    data = replace(make_data(), titles=[""] * (ITEMS + 1))
    config = RunConfig(teacher=TeacherConfig(llm=str(tiny_llm), student="titled", title_encoder="llm"))
    with Profiler() as profiler, pytest.raises(UserError, match=r"teacher\.student: no item has a title"):
        teacher.train_teacher(config, data, [], tmp_path, RunContext("cpu", profiler, tmp_path), "name")
