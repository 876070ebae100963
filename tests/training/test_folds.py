"""Out-of-fold teachers: who is trained on what, and who reads what."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.config import AdapterConfig, ExportConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.batches import training_windows
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.profiling.profiler import Profiler
from recdistill.training.folds import FoldedTeacher, fold_of_users, only_users, train_folds
from recdistill.training.reading import load_teacher
from recdistill.training.student import train_student
from recdistill.training.teacher import train_teacher

ITEMS, FOLDS = 30, 2


@pytest.fixture(scope="module")
def data() -> PreparedData:
    generator = np.random.default_rng(0)
    return PreparedData(
        items=np.concatenate([(generator.integers(ITEMS) + np.arange(8)) % ITEMS + 1 for _ in range(21)]).astype("i4"),
        timestamps=np.arange(168, dtype=np.int64),
        offsets=np.arange(0, 169, 8, dtype=np.int64),
        train_ends=np.full(21, 6, dtype=np.int32),
        validation_ends=np.full(21, 7, dtype=np.int32),
        titles=["", *(f"Film {item}" for item in range(1, ITEMS + 1))],
        item_ids=["", *(str(item) for item in range(1, ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


def make_config(llm: Path) -> RunConfig:
    train = TrainConfig(max_epochs=4, batch_size=8, learning_rate=0.02)
    teacher = TeacherConfig(
        llm=str(llm), layers=1, history_length=6, head_dim=4, title_dim=4, folds=FOLDS, train=train,
        student_dropout=0.0, adapter=AdapterConfig(rank=2, experts=2),
    )  # fmt: skip
    return RunConfig(student=StudentConfig(embedding_dim=8, blocks=1, max_length=6, train=train), teacher=teacher)


def test_folds_are_a_deal_of_the_users() -> None:
    fold = fold_of_users(21, 4, seed=3)
    assert sorted(np.bincount(fold).tolist()) == [5, 5, 5, 6]
    assert np.array_equal(fold, fold_of_users(21, 4, seed=3))
    assert not np.array_equal(fold, fold_of_users(21, 4, seed=4))


def test_only_the_chosen_users_are_trained_on_and_everybody_is_validated(data: PreparedData) -> None:
    chosen = np.arange(21) % 3 == 0
    part = only_users(data, chosen, "a third")
    assert set(training_windows(part, 6, "all").users.tolist()) == set(np.flatnonzero(chosen).tolist())
    assert set(part.targets("train").users.tolist()) == set(np.flatnonzero(chosen).tolist())
    assert len(part.targets("validation")) == 21
    assert part.split_fingerprint != data.split_fingerprint
    fewer = only_users(part, np.arange(21) < 10, "fewer")
    assert set(training_windows(fewer, 6, "all").users.tolist()) == {0, 3, 6, 9}


@pytest.fixture(scope="module")
def trained(data: PreparedData, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `student` and `teacher`, the folds among it."""
    folder = tmp_path_factory.mktemp("folds")
    config, names = make_config(tiny_llm), [f"u{user}" for user in range(21)]
    with pytest.MonkeyPatch.context() as patch, Profiler() as profiler:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        for step in ("student", "teacher"):
            (folder / step).mkdir()
        train_student(config, data, folder / "student", profiler, "cpu")
        train_folds(config, data, names, folder / "teacher", profiler, "cpu")
        train_teacher(config, data, names, folder / "student", folder / "teacher", "name", profiler, "cpu")
    return folder


def test_each_target_is_read_by_a_teacher_that_has_not_seen_its_user(
    data: PreparedData, trained: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    config = make_config(tiny_llm)
    prints = Fingerprints("data", "split", "teacher")
    folded = FoldedTeacher(config, data, trained / "student", trained / "teacher", "cpu")
    with Profiler() as profiler:
        export_outputs(folded, data, folded.titles, ExportConfig(top_k=5), tmp_path, prints, profiler)
    reader = OutputsReader(tmp_path, prints)
    fold = fold_of_users(21, FOLDS, config.seed)
    places = [trained / "teacher" / "folds" / str(number) for number in range(FOLDS)]
    sources = [(place / "student", place / "teacher") for place in places]
    sources.append((trained / "student", trained / "teacher"))
    for number, (student, teacher) in enumerate(sources):
        alone = load_teacher(config, data, student, teacher, "cpu")
        windows = alone.export_windows()
        keys, _, scores = alone.predict(windows, np.arange(len(windows)))
        users, positions = keys.users.numpy(), keys.positions.numpy()
        validation = positions >= data.train_ends[users]
        own = validation if number == FOLDS else ~validation & (fold[users] == number)
        assert own.any()
        records = reader.require(users[own], positions[own], with_states=False)
        listed = scores[own].gather(1, _long(records.top_items))
        np.testing.assert_allclose(listed.numpy(), records.top_scores, rtol=1e-4, atol=1e-4)
        others = ~own
        records = reader.require(users[others], positions[others], with_states=False)
        listed = scores[others].gather(1, _long(records.top_items))
        assert not np.allclose(listed.numpy(), records.top_scores, atol=1e-3)


def _long(items: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(items.astype(np.int64))


def test_finished_folds_are_left_as_they_are(
    data: PreparedData, trained: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    files = sorted((trained / "teacher" / "folds").rglob("*.safetensors"))
    before = [file.stat().st_mtime_ns for file in files]
    assert len(files) >= 2 * FOLDS
    with Profiler() as profiler:
        train_folds(make_config(tiny_llm), data, [f"u{n}" for n in range(21)], trained / "teacher", profiler, "cpu")
    assert [file.stat().st_mtime_ns for file in files] == before


@pytest.mark.parametrize("teacher", [TeacherConfig(kind="student", folds=2), TeacherConfig(compile=True, folds=2)])
def test_what_has_no_folds_is_refused(teacher: TeacherConfig) -> None:
    with pytest.raises(UserError, match=r"teacher\.folds"):
        RunConfig(teacher=teacher)


def test_one_fold_is_none() -> None:
    with pytest.raises(UserError, match=r"teacher\.folds"):
        TeacherConfig(folds=1)
