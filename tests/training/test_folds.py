"""Out-of-fold teachers: who is trained on what, and who reads what."""

import gc
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from recdistill.config import AdapterConfig, ExportConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import training_windows
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.blocks import decoder_blocks
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json
from recdistill.students.make import load_student
from recdistill.teacher import teacher as teacher_module
from recdistill.teacher.folded import FoldedTeacher, fold_of_users
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.teacher import load_teacher
from recdistill.training.checkpoint import CHECKPOINT_FILE
from recdistill.training.folds import only_users, train_folds, validation_without
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


def make_config(llm: Path, student: Literal["plain", "titled"] = "plain") -> RunConfig:
    train = TrainConfig(max_epochs=4, batch_size=8, learning_rate=0.02)
    teacher = TeacherConfig(
        llm=str(llm),
        layers=1,
        history_length=6,
        head_dim=4,
        title_dim=4,
        folds=FOLDS,
        student=student,
        train=train,
        title_encoder="llm",
        title_decay=0.0,
        student_dropout=0.0,
        adapter=AdapterConfig(rank=2, experts=2),
    )
    return RunConfig(student=StudentConfig(embedding_dim=8, num_layers=1, max_length=6, train=train), teacher=teacher)


def test_folds_are_a_deal_of_the_users(data: PreparedData) -> None:
    fold = fold_of_users(data, 4, seed=3)
    assert sorted(np.bincount(fold).tolist()) == [5, 5, 5, 6]
    assert np.array_equal(fold, fold_of_users(data, 4, seed=3))
    assert not np.array_equal(fold, fold_of_users(data, 4, seed=4))


@pytest.mark.parametrize("seed", range(5))
def test_users_with_training_targets_are_dealt_evenly(data: PreparedData, seed: int) -> None:
    ends = data.train_ends.copy()
    ends[:3] = 1  # one train event: no target
    part = replace(data, trained_users=np.arange(21) % 2 == 0, train_ends=ends)
    trained = np.unique(part.targets("train").users)
    assert len(trained) == 9
    fold = fold_of_users(part, 4, seed)
    assert sorted(np.bincount(fold[trained], minlength=4).tolist()) == [2, 2, 2, 3]
    assert sorted(np.bincount(fold, minlength=4).tolist()) == [5, 5, 5, 6]
    assert sorted(np.bincount(fold_of_users(part, 9, seed)[trained]).tolist()) == [1] * 9


def test_more_folds_than_users_to_train_on_are_refused(data: PreparedData) -> None:
    part = only_users(data, np.arange(21) < 3, "three")
    with pytest.raises(UserError, match=r"teacher\.folds: 4 folds are more than the 3 users"):
        fold_of_users(part, 4, seed=0)


def test_only_the_chosen_users_are_trained_on_and_everybody_is_validated(data: PreparedData) -> None:
    chosen = np.arange(21) % 3 == 0
    part = only_users(data, chosen, "a third")
    assert set(training_windows(part, 6, "all").users.tolist()) == set(np.flatnonzero(chosen).tolist())
    assert set(part.targets("train").users.tolist()) == set(np.flatnonzero(chosen).tolist())
    assert len(part.targets("validation")) == 21
    assert part.split_fingerprint != data.split_fingerprint
    fewer = only_users(part, np.arange(21) < 10, "fewer")
    assert set(training_windows(fewer, 6, "all").users.tolist()) == {0, 3, 6, 9}


@pytest.mark.parametrize("number", range(FOLDS))
def test_a_fold_has_no_say_in_the_choice_of_its_epoch_and_weights(
    data: PreparedData, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Other validation items of the fold's users change nothing of its student and teacher."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    config = make_config(tiny_llm)
    fold = fold_of_users(data, FOLDS, config.seed)
    items = data.items.copy()
    places = data.offsets[:-1][fold == number] + 6
    items[places] = items[places] % ITEMS + 1
    found = []
    for name, one in (("plain", data), ("changed", replace(data, items=items))):
        with Profiler() as profiler:
            train_folds(config, one, [f"u{n}" for n in range(21)], RunContext("cpu", profiler, tmp_path / name))
        for step in ("student", "teacher"):
            rows = (tmp_path / name / "folds" / str(number) / step / "training.csv").read_text().splitlines()
            found.append([row.rsplit(",", 1)[0] for row in rows])  # the last column is seconds
    assert found[:2] == found[2:]


def test_folds_without_other_users_to_validate_on_are_refused(data: PreparedData) -> None:
    ends = np.where(np.arange(21) == 4, 7, 6).astype(np.int32)  # one user has a validation target
    fold = fold_of_users(data, FOLDS, 0)
    with pytest.raises(UserError, match=rf"teacher\.folds: all validation targets are of users of fold {fold[4]}"):
        validation_without(replace(data, validation_ends=ends), fold, int(fold[4]))


@pytest.fixture(scope="module")
def trained(data: PreparedData, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `student` and `teacher`, the folds among it."""
    folder = tmp_path_factory.mktemp("folds")
    config, names = make_config(tiny_llm), [f"u{user}" for user in range(21)]
    with pytest.MonkeyPatch.context() as patch, Profiler() as profiler:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        for step in ("student", "teacher"):
            (folder / step).mkdir()
        train_student(config, data, RunContext("cpu", profiler, folder / "student"))
        train_folds(config, data, names, RunContext("cpu", profiler, folder / "teacher"))
        train_teacher(config, data, names, folder / "student", RunContext("cpu", profiler, folder / "teacher"), "name")
    return folder


def test_each_target_is_read_by_a_teacher_that_has_not_seen_its_user(
    data: PreparedData, trained: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    config = make_config(tiny_llm)
    prints = Fingerprints("data", "split", "teacher")
    folded = FoldedTeacher(config, data, trained / "student", trained / "teacher", "cpu")
    with Profiler() as profiler:
        export_outputs(
            folded,
            data,
            folded.titles,
            ExportConfig(top_k=5, exclude_seen=True),
            RunContext("cpu", profiler, tmp_path),
            prints,
        )
    reader = OutputsReader(tmp_path, prints)
    fold = fold_of_users(data, FOLDS, config.seed)
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
    settings = read_json(tmp_path / "evidence.json")["settings"]
    batch = next(one for one in settings if one["key"] == "export.batch_size")  # 32, more than any reader's prompts
    assert batch["in_effect"], batch["seen"]


def test_with_titled_students_each_fold_has_its_own(
    data: PreparedData, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    config = make_config(tiny_llm, "titled")
    with Profiler() as profiler:
        train_folds(config, data, [f"u{user}" for user in range(21)], RunContext("cpu", profiler, tmp_path))
    places = [tmp_path / "folds" / str(number) for number in range(FOLDS)]
    assert not any((place / "student").exists() for place in places)
    students = [load_student(place / "teacher" / "titled").item_vectors() for place in places]
    assert not torch.equal(students[0], students[1])
    for place, vectors in zip(places, students, strict=True):
        teacher = load_teacher(config, data, place / "student", place / "teacher", "cpu")
        assert torch.equal(teacher.ranker.head.student_vectors, vectors)


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
        train_folds(
            make_config(tiny_llm), data, [f"u{n}" for n in range(21)], RunContext("cpu", profiler, trained / "teacher")
        )
    assert [file.stat().st_mtime_ns for file in files] == before


@pytest.mark.parametrize("left", ["student/student.safetensors", "teacher/ranker.safetensors", "teacher/evidence.json"])
def test_a_fold_that_was_cut_off_while_it_was_written_is_done_again(
    data: PreparedData, trained: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """All that was written after `left` is not there."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    folder = shutil.copytree(trained / "teacher", tmp_path / "teacher")
    fold = folder / "folds" / "0"
    written = [
        "student/student.safetensors",
        "student/student.json",
        "teacher/ranker.safetensors",
        "teacher/evidence.json",
        "teacher/gate_examples.json",
    ]
    later = written[written.index(left) + 1 :]
    for name in later:
        (fold / name).unlink()
    with Profiler() as profiler:
        train_folds(make_config(tiny_llm), data, [f"u{n}" for n in range(21)], RunContext("cpu", profiler, folder))
    assert all((fold / name).is_file() for name in written)
    assert torch.equal(
        load_student(fold / "student").item_vectors(),
        load_student(trained / "teacher" / "folds" / "0" / "student").item_vectors(),
    )


def test_a_checkpoint_that_outlived_its_fold_is_removed(
    data: PreparedData, trained: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    folder = shutil.copytree(trained / "teacher", tmp_path / "teacher")
    for step in ("student", "teacher"):
        (folder / "folds" / "0" / step / CHECKPOINT_FILE).write_text("left over")
    with Profiler() as profiler:
        train_folds(make_config(tiny_llm), data, [f"u{n}" for n in range(21)], RunContext("cpu", profiler, folder))
    assert not list(folder.rglob(CHECKPOINT_FILE))


@contextmanager
def teachers_at_each_load(patch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many language models are in memory whenever one is loaded and in the end, with Python's own collection off.

    Looked for are their blocks, since a block and its gated forward hold each other, and a ranker is gone before them.
    """
    made: list[weakref.ref[nn.Module]] = []
    alive: list[int] = []
    make, load = Ranker.__init__, load_backbone

    def remember(self: Ranker, *args: Any, **keywords: Any) -> None:
        make(self, *args, **keywords)
        made.append(weakref.ref(decoder_blocks(self.llm)[0]))

    def look(*args: Any, **keywords: Any) -> Any:
        alive.append(sum(block() is not None for block in made))
        return load(*args, **keywords)

    patch.setattr(Ranker, "__init__", remember)
    patch.setattr(teacher_module, "load_backbone", look)
    gc.disable()
    try:
        yield alive
        alive.append(sum(block() is not None for block in made))
    finally:
        gc.enable()


def test_one_teacher_is_in_memory_at_a_time(
    data: PreparedData, trained: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    config = make_config(tiny_llm)
    with teachers_at_each_load(monkeypatch) as alive:
        folded = FoldedTeacher(config, data, trained / "student", trained / "teacher", "cpu")
        windows = folded.export_windows()
        for reader in range(FOLDS):
            rows = np.flatnonzero(folded.readers(windows) == reader)
            folded.predict(windows, rows[:2])
    assert alive == [0] * (1 + FOLDS) + [1]


def test_a_folds_teacher_is_gone_when_the_next_is_trained(
    data: PreparedData, trained: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    folder = shutil.copytree(trained / "teacher", tmp_path / "teacher")
    for number in range(FOLDS):
        (folder / "folds" / str(number) / "teacher" / "gate_examples.json").unlink()
    with teachers_at_each_load(monkeypatch) as alive, Profiler() as profiler:
        train_folds(make_config(tiny_llm), data, [f"u{n}" for n in range(21)], RunContext("cpu", profiler, folder))
    assert alive == [0] * FOLDS + [0]


def test_a_reading_that_failed_on_trial_counts_for_nothing(
    data: PreparedData, trained: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(trained / "cache"))
    folded = FoldedTeacher(make_config(tiny_llm), data, trained / "student", trained / "teacher", "cpu")
    before = folded.read.state()

    def full(_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(folded.teacher.ranker, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        folded.trial(folded.export_windows(), np.arange(2))
    assert folded.teacher.read is folded.read
    assert folded.read.state() == before


@pytest.mark.parametrize(
    "teacher", [TeacherConfig(kind="second_student", title_decay=0.0, folds=2), TeacherConfig(compile=True, folds=2)]
)
def test_what_has_no_folds_is_refused(teacher: TeacherConfig) -> None:
    with pytest.raises(UserError, match=r"teacher\.folds"):
        RunConfig(teacher=teacher)


def test_one_fold_is_none() -> None:
    with pytest.raises(UserError, match=r"teacher\.folds"):
        TeacherConfig(folds=1)
