"""`recdistill check`: a table of what is whole, and status 2 where something is not."""

import json
from pathlib import Path

import pytest

from older_runs import without_checksums
from recdistill.cli import main
from recdistill.config import EvaluateConfig
from recdistill.experiments.bench.results import FILE as RESULTS_FILE
from recdistill.measure.profiler import Profiler
from recdistill.storage.checksums import write_record
from recdistill.storage.run_folder import RunFolder


def finish(run: RunFolder, step: str, inputs: dict[str, str]) -> None:
    with run.work_on(step, "f1", EvaluateConfig(), {**inputs}, {}, Profiler("cpu")) as (folder, _):
        (folder / "result").write_text("12345")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    finish(run, "prepare", {"source": "s"})
    finish(run, "student", {"data": "d"})
    finish(run, "teacher", {"data": "d", "student": "f1"})
    return run


def states(folder: Path, capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, str]:
    assert main(["check", str(folder), "--json"]) == status
    said = json.loads(capsys.readouterr().out)
    assert said["whole"] == (status == 0)
    return {part["path"]: part["state"] for part in said["parts"]}


def test_a_whole_run(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert states(run.path, capsys) == dict.fromkeys(("prepare", "student", "teacher"), "whole")
    assert main(["check", str(run.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["prepare", "whole", "3", "files"]


def test_what_is_damaged_missing_and_unfinished_is_told_apart(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.step("teacher") / "result").write_text("1234")
    run.step("student").rename(run.path / "distilled.partial")
    wanted = {"prepare": "whole", "student": "missing", "teacher": "damaged", "distilled.partial": "unfinished"}
    assert states(run.path, capsys, status=2) == wanted
    assert main(["check", str(run.path)]) == 2
    said = capsys.readouterr()
    assert f"{run.step('teacher') / 'result'}: damaged (4 bytes, where 5 were written)" in said.out
    assert "teacher was made from it" in said.out
    assert said.err == f"recdistill: error: {run.path}: damaged or missing: student, teacher\n"


def test_an_older_run_has_no_checksums(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    without_checksums(run.path)
    assert set(states(run.path, capsys).values()) == {"no checksum recorded"}


def test_a_study_a_bench_and_added_items(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    (study / "main").mkdir(parents=True)
    run.path.rename(study / "main" / "seed-1")
    assert states(study, capsys) == {f"main/seed-1/{step}": "whole" for step in ("prepare", "student", "teacher")}
    (study / RESULTS_FILE).write_text("{}\n")
    assert states(study, capsys, status=2)[RESULTS_FILE] == "damaged"
    more = tmp_path / "more"
    (more / "prepare").mkdir(parents=True)
    (more / "prepare" / "catalog.json").write_text("{}")
    write_record(more)
    assert states(more, capsys) == {".": "whole"}
    (more / "prepare" / "catalog.json").unlink()
    assert states(more, capsys, status=2) == {".": "damaged"}


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert "neither a run, a study, nor what add-items wrote" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
