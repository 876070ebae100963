"""The control teacher: two students whose scores are added."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recdistill.config import EvaluateConfig, ExportConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.protocol import validation_metrics
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json
from recdistill.students.base import Student
from recdistill.students.make import load_student, make_student, save_student
from recdistill.teacher.two_students import TwoStudents
from recdistill.training import second_student
from recdistill.training.correction import CORRECTION_WEIGHTS, choose_weight
from recdistill.training.second_student import WEIGHT_FILE, second_seed, train_second_student
from recdistill.training.student import student_sequence_scorer

ITEMS = 30
CONFIG = StudentConfig(embedding_dim=16, num_layers=1, max_length=6, train=TrainConfig(max_epochs=2, batch_size=16))


@pytest.fixture
def data() -> PreparedData:
    generator = np.random.default_rng(0)
    return PreparedData(
        items=np.concatenate([generator.permutation(ITEMS)[:12] + 1 for _ in range(40)]).astype(np.int32),
        timestamps=np.arange(480, dtype=np.int64),
        offsets=np.arange(0, 481, 12, dtype=np.int64),
        train_ends=np.full(40, 10, dtype=np.int32),
        validation_ends=np.full(40, 11, dtype=np.int32),
        titles=["", *(f"Film {item}" for item in range(1, ITEMS + 1))],
        item_ids=["", *(str(item) for item in range(1, ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


def untrained(seed: int) -> Student:
    torch.manual_seed(seed)
    return make_student(CONFIG, ITEMS).eval()


def two(data: PreparedData, weight: float) -> TwoStudents:
    return TwoStudents(data, untrained(0), untrained(1), weight, torch.zeros(ITEMS + 1, 4), "cpu")


def test_scores_are_the_weighted_sum(data: PreparedData) -> None:
    targets = data.targets("validation")
    sizes = (targets.users, targets.positions)
    first, second = (student_sequence_scorer(untrained(seed), data, "cpu").score(*sizes) for seed in (0, 1))
    found = two(data, 0.25).scorer().score(*sizes)
    torch.testing.assert_close(found[:, 1:], first[:, 1:] + 0.25 * second[:, 1:])


def test_every_target_is_predicted_once_and_as_the_scorer_does(data: PreparedData) -> None:
    teacher = two(data, 0.5)
    windows = teacher.export_windows()
    keys, states, scores = teacher.predict(windows, np.arange(len(windows)))
    found = set(zip(keys.users.tolist(), keys.positions.tolist(), strict=True))
    wanted = [data.targets("train"), data.targets("validation")]
    assert found == {pair for one in wanted for pair in zip(one.users.tolist(), one.positions.tolist(), strict=True)}
    assert len(found) == len(scores)
    assert states.shape == (len(scores), teacher.state_dim)
    rows = keys.positions <= CONFIG.max_length  # of these a window shows the whole history, as the scorer does
    alone = teacher.scorer().score(keys.users[rows].numpy(), keys.positions[rows].numpy())
    torch.testing.assert_close(scores[rows][:, 1:], alone[:, 1:])


def test_a_trial_counts_for_nothing_whether_it_fits_or_not(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = two(data, 0.5)
    windows, counter, before = teacher.export_windows(), teacher.read, teacher.read.state()
    teacher.trial(windows, np.arange(8))
    assert teacher.read is counter
    assert counter.state() == before

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(teacher, "_add", full)
    with pytest.raises(torch.OutOfMemoryError):
        teacher.trial(windows, np.arange(8))
    assert teacher.read is counter
    assert counter.state() == before
    monkeypatch.undo()
    teacher.predict(windows, np.arange(8))
    assert counter.state() != before


def test_the_weight_is_the_best_on_validation_and_is_kept(data: PreparedData, tmp_path: Path) -> None:
    config = RunConfig(student=CONFIG, teacher=TeacherConfig(kind="second_student", title_decay=0.0, history_length=6))
    (tmp_path / "student").mkdir()
    (tmp_path / "teacher").mkdir()
    save_student(untrained(0), tmp_path / "student")
    with Profiler() as profiler:
        train_second_student(config, data, tmp_path / "student", RunContext("cpu", profiler, tmp_path / "teacher"))
    second = load_student(tmp_path / "teacher")
    assert not torch.equal(second.item_vectors(), untrained(0).item_vectors())  # another one
    found = {}
    for weight in CORRECTION_WEIGHTS:
        both = TwoStudents(data, untrained(0), second, weight, torch.zeros(ITEMS + 1, 4), "cpu")
        found[weight] = validation_metrics(both.scorer(), data, EvaluateConfig())["ndcg@10"]
    kept = read_json(tmp_path / "teacher" / WEIGHT_FILE)
    assert found[kept["weight"]] == max(found.values()) == pytest.approx(kept["validation"]["ndcg@10"])


def test_a_second_student_that_was_trained_is_not_trained_again_for_its_weight(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(student=CONFIG, teacher=TeacherConfig(kind="second_student", title_decay=0.0, history_length=6))
    for name in ("student", "teacher"):
        (tmp_path / name).mkdir()
    save_student(untrained(0), tmp_path / "student")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, Profiler() as profiler, pytest.raises(KeyboardInterrupt):
        patch.setattr(second_student, "choose_weight", interrupted)
        train_second_student(config, data, tmp_path / "student", RunContext("cpu", profiler, tmp_path / "teacher"))
    trained = tmp_path / "teacher" / "student.safetensors"
    before = trained.stat().st_mtime_ns
    assert not (tmp_path / "teacher" / WEIGHT_FILE).exists()
    with Profiler() as profiler:
        train_second_student(config, data, tmp_path / "student", RunContext("cpu", profiler, tmp_path / "teacher"))
    assert trained.stat().st_mtime_ns == before
    assert (tmp_path / "teacher" / WEIGHT_FILE).is_file()


def test_the_second_student_is_nobodys_first() -> None:
    seeds = {second_seed(seed) for seed in range(50)}
    assert len(seeds) == 50
    assert not seeds & set(range(100))
    assert 0 <= second_seed(2**32 - 1) < 2**32


def test_the_first_weight_wins_a_tie() -> None:
    assert choose_weight(lambda weight: {"ndcg@10": 0.5})[0] == CORRECTION_WEIGHTS[0]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"teacher": TeacherConfig(kind="second_student", title_decay=0.0, compile=True)}, "teacher.compile"),
        (
            {"teacher": TeacherConfig(kind="second_student", title_decay=0.0), "export": ExportConfig(use_cache=True)},
            "export.use_cache",
        ),
    ],
)
def test_settings_of_a_language_model_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        RunConfig(**settings)
