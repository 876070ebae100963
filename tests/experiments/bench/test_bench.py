"""The bench end to end: real processes, a tiny language model."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chain import write_interactions
from processes import ended, kill_bench_after
from recdistill.cli import main
from recdistill.experiments.bench.reading import read_matrix
from recdistill.experiments.bench.results import add_row

MATRIX = """
name: tiny
rows: 24
validation_users: 6
test_rows: 4
export_rows: 12
repeats: 3
threads: 1
cell_seconds: {limit}
base:
  device: cpu
  data: {{source: csv, path: {events}, items_path: {items}}}
  student: {{embedding_dim: 16, num_layers: 1, max_length: 10, train: {{max_epochs: 1, batch_size: 16}}}}
  teacher:
    {{llm: {llm}, layers: 1, history_length: 5, title_dim: 8, title_encoder: llm, title_decay: 0.0, head_dim: 8,
      targets: last, train: {{batch_size: 8}}}}
  export: {{top_k: 10}}
  distill: {{top_k: 5}}
cells:
  base: {{}}
  base-again: {{}}
  fp16: {{teacher.precision: fp16}}
  titled: {{teacher.student: titled}}
  deep: {{teacher.layers: 99, test_rows: 0, teacher.adapter.rank: 4, teacher.adapter.experts: 2, teacher.prompt: text,
          teacher.adapter.layers: [q_proj], teacher.head: plain, export.top_k: 5, export.states: false,
          teacher.train.learning_rate: 0.1}}
sections:
  - {{name: all, cells: [fp16, titled, deep]}}
"""


@pytest.fixture
def study(tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    events = write_interactions(tmp_path / "data")
    path = tmp_path / "tiny.yaml"
    text = MATRIX.format(llm=tiny_llm, events=events, items=events.with_name("items.csv"), limit=100)
    path.write_text(text, encoding="utf-8")
    return path


def rows(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {(row["cell"], row["repeat"]): row for row in map(json.loads, lines)}


def bench(study: Path, out: Path, *more: str) -> int:
    return main(["bench", str(study), "--out", str(out), "--quiet", *more])


def test_a_study_goes_on_after_a_kill_and_a_finished_one_is_left_alone(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Killed where it cannot tidy up, as soon as its first cell is there.
    command = ["bench", str(study), "--out", str(out), "--quiet"]
    assert ended(command, tmp_path / "stderr", kill_bench_after, 1) == -signal.SIGKILL
    assert (tmp_path / "stderr").read_text() == ""
    kept = rows(out)
    assert kept[("base", 1)]["status"] == "finished"

    # Only the first turn is measured in earnest; for the others its row will do.
    made = read_matrix(study)
    for cell in ("base", "base-again"):
        for turn in (2, 3):
            row: Any = kept[("base", 1)] | {"cell": cell, "repeat": turn}
            add_row(out, row)
    assert bench(study, out) == 0
    found = rows(out)
    assert found[("base", 1)] == kept[("base", 1)]
    assert len(found) == 9
    assert {cell: found[(cell, 1)]["status"] for cell in made.cells} == {
        "base": "finished",
        "base-again": "finished",
        "fp16": "refused",
        "titled": "refused",
        "deep": "refused",
    }
    one, again = (found[(cell, 1)] for cell in ("base", "base-again"))
    # The base is judged by every setting of any cell; nothing looks for the learning rate or for the student.
    judged = {entry["key"]: entry["in_effect"] for entry in one["evidence"]["settings"]}
    assert [judged.pop(f"teacher.{name}") for name in ("train.learning_rate", "student")] == [None, None]
    assert set(judged.values()) == {True}
    assert {"teacher.adapter.rank", "teacher.adapter.layers", "teacher.head", "export.top_k"} < set(judged)
    assert one["quality"] == again["quality"]
    assert one["throughput"]["train"]["targets"] == 24
    assert one["throughput"]["export"]["targets"] >= 12
    assert {"warm-up", "train step", "validation", "checkpoint", "test", "export", "write"} <= set(one["phases"])
    assert not any("test" in key for key in one["quality"])
    assert str(tmp_path) not in (out / "results.jsonl").read_text(encoding="utf-8")

    before = (out / "results.jsonl").stat().st_mtime_ns
    assert bench(study, out, "--language", "ja") == 0
    assert (out / "results.jsonl").stat().st_mtime_ns == before
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "fp16: 実行不可。プログラムの出力（英語のまま）: teacher.precision: fp16 needs a CUDA device" in report
    assert "titled: 実行不可。プログラムの出力（英語のまま）: teacher.student: a cell trains no student" in report
    assert "deep: 実行不可。プログラムの出力（英語のまま）: teacher.layers: 99 is more than the 3 blocks" in report


def test_mistakes_cost_one_line(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*words: str) -> str:
        assert main(["bench", *words, "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("recdistill: error: ").replace(f"{tmp_path}/", "")

    out = str(tmp_path / "out")
    assert fail("nowhere.yaml") == "matrix: nowhere.yaml: No such file or directory"
    assert fail(str(study), "--out", out, "--only", "base2").startswith(
        "only: no cell is called 'base2'; there are base"
    )
    assert fail(str(study), "--out", out, "--report_only") == "out: holds no results of this matrix; run it first"
    study.write_text("name: [", encoding="utf-8")
    assert fail(str(study)).startswith("tiny.yaml:1: not valid YAML")
    assert not (tmp_path / "out").exists()


def test_a_cell_over_its_time_is_ended_with_all_its_children(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recdistill.experiments.bench import runner

    made = read_matrix(study)
    child = tmp_path / "child.pid"
    script = tmp_path / "sleeper"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {child}\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    object.__setattr__(made, "cell_seconds", 1)
    (tmp_path / "out" / "work").mkdir(parents=True)
    row = runner._Bench(made, tmp_path / "out", "cpu").run(made.cells["base"], 1)
    assert (row["status"], row["reason"]) == ("timed_out", "over 1 s")
    stat = Path(f"/proc/{child.read_text().strip()}/stat")
    until = time.monotonic() + 5
    while stat.exists() and stat.read_text().split(")")[-1].split()[0] != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert not stat.exists() or stat.read_text().split(")")[-1].split()[0] == "Z"
