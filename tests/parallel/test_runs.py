"""A whole run by several processes: the store of one, and what happens where one of them ends."""

import csv
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from chain import STEPS, options, write_interactions
from parallel.faults import without_memory, without_room_for_a_shard
from parallel.forked import launch
from processes import command, started, together
from recdistill.cli import main
from recdistill.storage.files import read_json

NO_DROPOUT = ("--student.dropout=0", "--teacher.adapter.dropout=0", "--distill.dropout=0", "--export.shard_rows=40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the interactions and all runs."""
    folder = tmp_path_factory.mktemp("runs")
    write_interactions(folder / "data")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _cache(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        yield


@pytest.fixture(scope="module")
def words(folder: Path, tiny_llm: Path) -> list[str]:
    """The options of all runs, but for their folder."""
    told = (*NO_DROPOUT, "--teacher.student=titled")
    return options(folder / "one", tiny_llm, folder / "data" / "events.csv", *told)


@pytest.fixture(scope="module")
def one(folder: Path, words: list[str]) -> Path:
    """A run by one process, evaluated."""
    assert main(["evaluate", *words]) == 0
    return folder / "one"


def by_several(folder: Path, name: str, size: int, words: list[str], step: str = "run") -> Path:
    """The same by several processes."""
    line = [step, *words, f"--run={folder / name}", f"--devices={size}"]
    codes = together(size, command, [line], folder / f"{name}.stderr")
    assert codes == [0] * size, [(folder / f"{name}.stderr{rank}").read_text()[-2000:] for rank in range(size)]
    assert [(folder / f"{name}.stderr{rank}").read_text() for rank in range(1, size)] == [""] * (size - 1)
    return folder / name


@pytest.fixture(scope="module")
def two(folder: Path, one: Path, words: list[str]) -> Path:
    """A run by two processes."""
    return by_several(folder, "two", 2, words)


def column(path: Path, name: str) -> list[float]:
    with path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.parametrize("step", ["student", "teacher/titled", "teacher", "distilled"])
def test_a_training_by_two_is_that_of_one(one: Path, two: Path, step: str) -> None:
    for name in ("loss", "ndcg@10", "targets", "step"):
        found, expected = (column(run / step / "training.csv", name) for run in (two, one))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    weights = "ranker" if step == "teacher" else "student"
    found, expected = (load_file(run / step / f"{weights}.safetensors") for run in (two, one))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3)


def test_the_run_is_whole_and_nothing_is_left_of_the_others(two: Path) -> None:
    assert sorted(path.name for path in two.iterdir()) == sorted(STEPS)
    metrics = read_json(two / "evaluation" / "metrics.json")["models"]
    assert {"popularity", "ease", "student", "titled", "teacher", "distilled"} <= set(metrics)
    assert "report.html" in {path.name for path in (two / "report").iterdir()}


def test_the_evidence_counts_the_tokens_of_all(one: Path, two: Path) -> None:
    found, expected = (read_json(run / "teacher" / "evidence.json") for run in (two, one))
    assert found["processes"] == 2
    for name in ("useful", "prompts", "targets"):
        assert found["tokens"]["train"][name] == expected["tokens"]["train"][name]
    judged = [{each["key"]: each["in_effect"] for each in evidence["settings"]} for evidence in (found, expected)]
    assert judged[0] == judged[1]


def begun(folder: Path, one: Path, name: str) -> Path:
    """A run up to its teacher."""
    for step in ("prepare", "student", "teacher"):
        shutil.copytree(one / step, folder / name / step)
    return folder / name


def is_store_of(run: Path, one: Path) -> None:
    written, expected = run / "teacher_outputs", one / "teacher_outputs"
    names = [path.relative_to(expected) for path in sorted(expected.rglob("*")) if path.suffix in (".npy", ".json")]
    for path in [path for path in names if path.name not in ("manifest.json", "timings.json", "memory.json")]:
        assert (written / path).read_bytes() == (expected / path).read_bytes(), path
    assert len(list(expected.glob("shard-*"))) > 5
    assert not run.joinpath("teacher_outputs.partial").exists()


def test_a_store_by_several_is_that_of_one_to_the_byte(folder: Path, one: Path, words: list[str]) -> None:
    run = begun(folder, one, "export-2")
    by_several(folder, "export-2", 2, words, "export")
    is_store_of(run, one)


def test_after_a_full_disk_in_one_shard_and_a_process_without_memory_three_finish_the_store_of_one(
    folder: Path, one: Path, words: list[str]
) -> None:
    """At the end there are two shards for three processes."""
    run = begun(folder, one, "faults")
    partial, line = run / "teacher_outputs.partial", ["export", *words, f"--run={run}", "--devices=2"]
    lost = "recdistill: error: another process is gone"

    def shards() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in partial.glob("*shard-*")}

    assert together(2, without_room_for_a_shard, [line], folder / "full.stderr") == [1, 2]
    said = [(folder / f"full.stderr{rank}").read_text().splitlines() for rank in range(2)]
    assert [len(lines) for lines in said] == [1, 1]
    assert said[0][0].startswith(lost)
    full = f"{partial}: no space left on the disk; nothing half-written was kept"
    assert said[1] == [f"process 1: recdistill: error: {full}"]
    kept = shards()
    assert {"shard-00000", "shard-00001"} <= set(kept)
    assert "shard-00003" not in kept
    assert together(2, without_memory, [line], folder / "lack.stderr") == [2, 1]
    said = [(folder / f"lack.stderr{rank}").read_text().splitlines() for rank in range(2)]
    assert [len(lines) for lines in said] == [1, 1]
    assert said[0][0].startswith("recdistill: error: export: out of memory (cpu, ")
    assert "cannot allocate 9 GiB" in said[0][0]
    assert said[1][0].startswith(f"process 1: {lost}")
    by_several(folder, "faults", 3, words, "export")
    is_store_of(run, one)
    for name, written in kept.items():
        assert (run / "teacher_outputs" / name).stat().st_mtime_ns == written


def test_metrics_by_several_are_those_of_one(folder: Path, one: Path, words: list[str]) -> None:
    shutil.copytree(one, folder / "ranked")
    shutil.rmtree(folder / "ranked" / "evaluation")
    by_several(folder, "ranked", 2, words, "evaluate")
    found, expected = (read_json(run / "evaluation" / "metrics.json") for run in (folder / "ranked", one))
    assert found == expected


@pytest.fixture(scope="module")
def spread(folder: Path, one: Path, words: list[str]) -> Path:
    """The same from the teacher on by two processes that hold half of its language model each."""
    for step in ("prepare", "student"):
        shutil.copytree(one / step, folder / "spread" / step)
    return by_several(folder, "spread", 2, [*words, "--strategy=fsdp"], "evaluate")


def test_a_language_model_spread_over_two_trains_reads_and_ranks_as_one(one: Path, spread: Path) -> None:
    assert read_json(spread / "teacher" / "evidence.json")["spread_over"] == 2
    for name in ("loss", "ndcg@10", "targets", "step"):
        found, expected = (column(run / "teacher" / "training.csv", name) for run in (spread, one))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    found, expected = (load_file(run / "teacher" / "ranker.safetensors") for run in (spread, one))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3)
    kept = [read_json(run / "evaluation" / "metrics.json")["models"]["teacher"] for run in (spread, one)]
    assert kept[0]["ndcg@10"] == pytest.approx(kept[1]["ndcg@10"], abs=0.02)


CHECKPOINT = "student.partial/checkpoint.safetensors"
LONG = ("--student.train.max_epochs=100000", "--student.train.patience=0", "--student.train.checkpoint_seconds=0")


def wait_for(happened: Callable[[], bool], goes_on: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert goes_on()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def killed(folder: Path, words: list[str]) -> Path:
    """A run of a student by two processes that the command itself has started, one of which was killed."""
    run, line = folder / "killed", [sys.executable, "-m", "recdistill", "student", *words, "--devices=2", *LONG]
    process = subprocess.Popen([*line, f"--run={run}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for((run / CHECKPOINT).is_file, lambda: process.poll() is None)
    others = psutil.Process(process.pid).children(recursive=True)
    next(each for each in others if each.environ().get("RANK") == "1").kill()
    said = process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 1
    assert said == [
        "recdistill: error: process 1 of 2 was ended by SIGKILL; the others were stopped; the same command resumes "
        "from what was saved"
    ]
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in others)
    return run


def test_a_process_that_is_killed_ends_all_in_one_line_and_the_run_goes_on_with_another_number(
    folder: Path, killed: Path, words: list[str]
) -> None:
    saved, said = (killed / CHECKPOINT).read_bytes(), folder / "goes-on.stderr"
    line = ["student", *words, *LONG, f"--run={killed}", "--devices=3"]
    process = started(said, launch, line, said)
    wait_for(lambda: (killed / CHECKPOINT).read_bytes() != saved, process.is_alive)
    process.terminate()
    process.join(120)
    assert process.exitcode == 143
    (told,) = said.read_text().splitlines()
    assert told.startswith("recdistill: terminated; saved: the student after ")
    assert [(folder / f"goes-on.stderr{rank}").read_text() for rank in range(3)] == [""] * 3


def test_a_mistake_is_told_by_each_process_that_nobody_speaks_for(folder: Path, words: list[str]) -> None:
    line = ["student", *words, f"--run={folder / 'idle'}", "--devices=2", "--student.train.batch_size=1"]
    assert together(2, command, [line], folder / "idle.stderr") == [2, 2]
    mistake = (
        "recdistill: error: devices: 2 processes train the student together, and no micro-batch has more than 1 rows; "
        "take at most as many, or larger micro-batches\n"
    )
    said = [(folder / f"idle.stderr{rank}").read_text() for rank in range(2)]
    assert said == [mistake, f"process 1: {mistake}"]


def test_what_cannot_be_done_by_several_is_refused(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["student", *words, "--nodes=2"]) == 2
    assert "nodes: 2: start this command on each machine by torchrun, or by Slurm" in capsys.readouterr().err
    assert main(["student", *words, "--devices=2", "--teacher.compile=true"]) == 2
    assert "teacher.compile: shapes are compiled for whole micro-batches" in capsys.readouterr().err
    assert main(["student", *words, "--devices=0"]) == 2
    assert "devices: 0" in capsys.readouterr().err
