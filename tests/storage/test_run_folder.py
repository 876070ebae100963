import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from older_runs import without_checksums
from recdistill import __version__
from recdistill.config import EvaluateConfig, StudentConfig
from recdistill.errors import UserError
from recdistill.measure.profiler import Profiler
from recdistill.storage import checksums, locks
from recdistill.storage.changes import changed_keys
from recdistill.storage.checksums import sealed
from recdistill.storage.manifest import Environment, Inputs
from recdistill.storage.run_folder import RunFolder, fingerprint
from recdistill.storage.typed import JsonValue

CONFIG = EvaluateConfig()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def work(run: RunFolder, name: str = "student", content: str = "1", expected: str = "f1", **options: Any) -> None:
    inputs: Inputs = {"data": "d1"}
    environment: Environment = {"device": "cpu"}
    with (
        run.work_on(name, expected, CONFIG, inputs, environment, Profiler("cpu"), **options) as (folder, profiler),
        profiler.phase("write"),
    ):
        (folder / "result").write_text(content)


def interrupt(run: RunFolder, expected: str = "f1", **options: Any) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        run.work_on("student", expected, CONFIG, {}, {}, Profiler("cpu"), **options) as (folder, profiler),
        profiler.phase("train step"),
    ):
        (folder / "checkpoint").write_text("half way")
        raise KeyboardInterrupt


def test_a_finished_step_has_its_name_manifest_times_and_memory(run: RunFolder) -> None:
    assert not run.is_finished("student", "f1")
    work(run)
    folder = run.step("student")
    assert {path.name for path in run.path.iterdir()} == {"student"}
    assert {path.name for path in folder.iterdir()} == {"result", "manifest.json", "timings.json", "memory.json"}
    manifest = run.manifest("student")
    assert manifest is not None
    expected = {"step": "student", "status": "finished", "fingerprint": "f1", "inputs": {"data": "d1"}, "attempts": 1}
    assert manifest.items() >= expected.items()
    assert manifest["code"] == {"version": __version__, "results": 1}
    assert manifest["config"]["bootstrap_samples"] == CONFIG.bootstrap_samples
    assert manifest["seconds"] > 0
    assert manifest["started"] <= manifest["finished"]
    assert "." in manifest["started"]  # Steps that begin within one second are told in their order.
    assert list(json.loads((folder / "timings.json").read_text())["phases"]) == ["write"]
    memory = json.loads((folder / "memory.json").read_text())["phases"]["write"]
    assert memory["peak_rss_gib"] > 0
    assert memory["peak_allocated_gib"] is None


def test_only_the_same_fingerprint_counts_as_finished(run: RunFolder) -> None:
    work(run)
    assert run.is_finished("student", "f1")
    assert not run.is_finished("student", "f2")
    assert not run.is_finished("teacher", "f1")


def test_an_interrupted_step_goes_on_from_its_partial_folder(run: RunFolder) -> None:
    interrupt(run)
    assert not run.is_finished("student", "f1")
    assert {path.name for path in run.path.iterdir()} == {"student.partial"}
    first = json.loads((run.path / "student.partial" / "timings.json").read_text())["phases"]["train step"]
    with run.work_on("student", "f1", CONFIG, {}, {}, Profiler("cpu")) as (folder, profiler):
        assert (folder / "checkpoint").read_text() == "half way"
        with profiler.phase("train step"):
            pass
    manifest = run.manifest("student")
    assert manifest is not None
    assert manifest["attempts"] == 2
    assert json.loads((run.step("student") / "timings.json").read_text())["phases"]["train step"] >= first


def test_what_auto_became_stands_in_the_finished_manifest_alone(run: RunFolder) -> None:
    chosen: dict[str, JsonValue] = {}
    with run.work_on("student", "f1", CONFIG, {}, {}, Profiler("cpu"), chosen=chosen) as (folder, _):
        chosen["weight"] = 8.0
        assert "chosen" not in json.loads((folder / "manifest.json").read_text())
    manifest = run.manifest("student")
    assert manifest is not None
    assert manifest["chosen"] == {"weight": 8.0}


def test_a_partial_folder_of_other_work_is_thrown_away(run: RunFolder) -> None:
    interrupt(run, "f1")
    with run.work_on("student", "f2", CONFIG, {}, {}, Profiler("cpu")) as (folder, _):
        assert not (folder / "checkpoint").exists()


def test_an_interrupted_step_that_cannot_go_on_leaves_nothing(run: RunFolder) -> None:
    interrupt(run, resumable=False)
    assert not list(run.path.iterdir())


def test_what_a_killed_step_left_that_cannot_go_on_is_thrown_away(run: RunFolder) -> None:
    interrupt(run)  # as it is after SIGKILL: nothing was cleared away
    with run.work_on("student", "f1", CONFIG, {}, {}, Profiler("cpu"), resumable=False) as (folder, _):
        assert not (folder / "checkpoint").exists()
    manifest = run.manifest("student")
    assert manifest is not None
    assert manifest["attempts"] == 1


def test_a_failed_second_try_keeps_the_older_result(run: RunFolder) -> None:
    work(run, content="old")
    interrupt(run, "f2", resumable=False)
    assert (run.step("student") / "result").read_text() == "old"
    assert run.is_finished("student", "f1")


def test_a_new_result_takes_the_place_of_the_older_one(run: RunFolder) -> None:
    work(run, content="old")
    work(run, content="new", expected="f2")
    assert {path.name for path in run.path.iterdir()} == {"student"}
    assert (run.step("student") / "result").read_text() == "new"
    assert run.is_finished("student", "f2")


def test_a_full_disk_in_a_step_is_one_line(run: RunFolder) -> None:
    with (
        pytest.raises(UserError, match="no space left"),
        run.work_on("prepare", "f", CONFIG, {}, {}, Profiler("cpu"), resumable=False),
    ):
        raise OSError(28, "No space left on device")
    assert not list(run.path.iterdir())


def test_the_lock_keeps_others_out_and_is_taken_away(run: RunFolder) -> None:
    with run.lock():
        with pytest.raises(UserError, match="is in use by another recdistill process"), RunFolder(run.path).lock():
            pass
        (run.path / "something").touch()
    assert {path.name for path in run.path.iterdir()} == {"something"}
    with run.lock():
        pass


def test_a_lock_left_by_a_killed_process_does_not_matter(run: RunFolder) -> None:
    run.path.mkdir()
    (run.path / ".lock").touch()
    with run.lock(), (run.path / ".lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_on_a_file_that_was_removed_in_the_meantime_is_taken_anew(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    calls: list[int] = []

    def late(file: Any, operation: int) -> None:
        if not calls:  # another process ends between the opening of the file and the lock on it
            (run.path / ".lock").unlink()
        calls.append(operation)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with run.lock(), pytest.raises(UserError, match="is in use"), RunFolder(run.path).lock():
        pass
    assert len(calls) == 3


def test_a_process_that_holds_the_lock_is_named_though_it_wrote_its_number_late(run: RunFolder) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    run.path.mkdir(exist_ok=True)
    with (run.path / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(killed.pid))  # of a process that was killed and left its file
        lock.flush()

        def say() -> None:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()

        late = threading.Timer(0.2, say)
        late.start()
        with pytest.raises(UserError, match=rf"recdistill process \(process {os.getpid()}\)$"), run.lock():
            pass
        late.join()


@pytest.mark.parametrize("number", ["0", "9" * 30, "not one"])
def test_a_number_that_no_process_has_is_not_told(run: RunFolder, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SAY_SECONDS", 0.0)
    run.path.mkdir(exist_ok=True)
    with (run.path / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(number)
        lock.flush()
        with pytest.raises(UserError, match=r"in use by another recdistill process$"), run.lock():
            pass


def test_a_run_in_which_nothing_came_about_leaves_no_folder(run: RunFolder) -> None:
    with run.lock():
        assert run.path.is_dir()
    assert not run.path.exists()


def test_folders_above_go_with_it_but_only_those_it_made_and_only_while_empty(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with RunFolder(tmp_path / "there" / "variant" / "seed-1").lock():
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    with RunFolder(tmp_path / "there" / "variant" / "seed-1").lock():
        (tmp_path / "there" / "variant" / "note").touch()
    assert list((tmp_path / "there").rglob("*")) == [
        tmp_path / "there" / "variant",
        tmp_path / "there" / "variant" / "note",
    ]


def test_a_run_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match=r"run: .*run is not a folder"), RunFolder(tmp_path / "run").lock():
        pass
    with pytest.raises(UserError, match="is not a folder"), RunFolder(tmp_path / "run" / "inner").lock():
        pass


def test_changed_keys_are_dotted_and_show_both_values() -> None:
    old = {"train": {"batch_size": 8, "patience": 1}, "name": "a"}
    new = {"train": {"batch_size": 16, "patience": 1}, "name": "a", "added": True}
    assert changed_keys(old, new, "student") == ["student.added: None → True", "student.train.batch_size: 8 → 16"]
    assert changed_keys(old, old) == []
    assert changed_keys({"layers": ["q", "v"]}, {"layers": ("q", "v")}) == []
    assert changed_keys({"a": {"b": 1}}, {"a": {"b": 2}}) == ["a.b: 1 → 2"]
    assert changed_keys({"source": "ab" * 32}, {"source": "cd" * 32}) == ["source: abababab… → cdcdcdcd…"]


def test_fingerprints_name_values_not_their_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("student", StudentConfig()) == fingerprint("student", StudentConfig())
    assert fingerprint(StudentConfig()) != fingerprint(replace(StudentConfig(), dropout=0.31))
    assert fingerprint("a", "b") != fingerprint("ab")
    assert len(fingerprint(None)) == 16


def test_the_one_in_the_folder_is_named(run: RunFolder) -> None:
    told = rf"another recdistill process \(process {os.getpid()}\)$"
    with run.lock(), pytest.raises(UserError, match=told), RunFolder(run.path).lock():
        pass


def test_a_manifest_holds_size_and_checksum_of_each_file_and_its_own(run: RunFolder) -> None:
    work(run, content="12")
    manifest = run.manifest("student")
    assert manifest is not None
    assert set(manifest["files"]) == {"result", "timings.json", "memory.json"}
    assert manifest["files"]["result"] == {"bytes": 2, "sha256": hashlib.sha256(b"12").hexdigest()}
    assert sealed(manifest) == manifest


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda path: path.write_text(path.read_text()[:-1]), "bytes, where"),
    "empty": (lambda path: path.write_text(""), "0 bytes, where"),
    "missing": (lambda path: path.unlink(), "missing"),
    "another": (lambda path: path.write_text("7" + path.read_text()[1:]), "its checksum is another"),
    "a folder": (lambda path: _as_folder(path), "not a file"),
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("file", ["result", "timings.json", "memory.json"])
def test_a_damaged_file_is_named_and_its_step_counts_as_not_finished(run: RunFolder, file: str, kind: str) -> None:
    work(run, content="12345")
    damage, told = DAMAGES[kind]
    path = run.step("student") / file
    damage(path)
    assert run.damage("student").startswith(f"{path}: damaged (")
    assert told in run.damage("student")
    assert not run.is_finished("student", "f1")
    assert run.manifest("student") is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text[:-9], "not valid JSON"),
        (lambda text: "", "not valid JSON"),
        (lambda text: "[]", "not an object"),
        (lambda text: text.replace('"attempts": 1', '"attempts": 2'), "its checksum is another"),
        (lambda text: text.replace('"checksum"', '"checksun"'), "checksun: unknown"),
    ],
)
def test_a_damaged_manifest_is_named(run: RunFolder, change: Callable[[str], str], told: str) -> None:
    work(run)
    path = run.step("student") / "manifest.json"
    path.write_text(change(path.read_text()))
    assert told in run.damage("student")
    assert not run.is_finished("student", "f1")
    path.unlink()
    assert run.damage("student") == f"{path}: damaged (missing)"


def test_a_folder_of_an_earlier_version_has_no_checksums_and_is_taken_as_it_is(run: RunFolder) -> None:
    work(run)
    without_checksums(run.path)
    (run.step("student") / "result").write_text("2")
    assert run.damage("student") == ""
    assert run.is_finished("student", "f1")


def test_what_nobody_reads_back_may_be_thrown_away(run: RunFolder) -> None:
    with run.work_on("student", "f1", CONFIG, {}, {}, Profiler("cpu")) as (folder, _):
        (folder / "tensorboard").mkdir()
        (folder / "tensorboard" / "events").touch()
    shutil.rmtree(run.step("student") / "tensorboard")
    assert run.is_finished("student", "f1")


def test_a_file_is_read_once_a_process(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    work(run)
    read: list[Path] = []

    def sha256_of(path: Path) -> str:
        read.append(path)
        return ""

    monkeypatch.setattr(checksums, "sha256_of", sha256_of)
    assert run.is_finished("student", "f1"), "as it was when its checksum was written down"
    assert read == []
    (run.step("student") / "result").write_text("2")
    assert not run.is_finished("student", "f1")
    assert [path.name for path in read] == ["result"]


@pytest.mark.parametrize("damaged", ["manifest.json", "timings.json", "memory.json"])
def test_a_damaged_interrupted_try_holds_nobody_up(
    run: RunFolder, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(run)
    path = run.path / "student.partial" / damaged
    path.write_text(path.read_text()[:-3])
    with run.work_on("student", "f1", CONFIG, {}, {}, Profiler("cpu")) as (folder, _):
        assert (folder / "checkpoint").exists() == (damaged != "manifest.json")
    assert f"{path}: damaged" in caplog.text
    assert run.is_finished("student", "f1")


def test_a_killed_change_of_names_is_put_right(run: RunFolder) -> None:
    work(run, content="old")
    work(run, "teacher", content="new")
    shutil.copytree(run.step("teacher"), run.path / "teacher.old")
    run.step("student").rename(run.path / "student.old")
    (run.path / "distilled.linking").mkdir()
    with run.lock():
        pass
    assert {path.name for path in run.path.iterdir()} == {"student", "teacher"}
    assert (run.step("student") / "result").read_text() == "old"


def test_a_finished_try_that_was_cut_off_before_it_had_its_name_is_taken_if_it_is_whole(run: RunFolder) -> None:
    work(run)
    run.step("student").rename(partial := run.path / "student.partial")
    assert not run.take_finished("student", "f2")
    (partial / "result").write_text("7")
    assert not run.take_finished("student", "f1")
    (partial / "result").write_text("1")
    assert run.take_finished("student", "f1")
    assert run.is_finished("student", "f1")
    interrupt(run, "f2")
    assert not run.take_finished("student", "f2"), "it was not finished"
    assert not run.take_finished("teacher", "f2")


def test_a_lock_that_cannot_be_taken_away_is_one_line(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that may not be written, where a killed process left the file."""

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match=f"{run.path}: may not be written"), run.lock():
        pass
