import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, ended, matrix, results, row
from recdistill.experiments.bench import cell
from recdistill.experiments.bench.cell_run import CellRun
from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.results import add_row
from recdistill.experiments.bench.runner import WORK, _Bench, _ending, _todo, turns, without_paths
from recdistill.experiments.bench.words import finding
from recdistill.steps import Step
from recdistill.storage.files import write_json


def test_turns_start_at_different_cells_and_hold_all(tmp_path: Path) -> None:
    made = matrix(tmp_path)
    order = [cell.name for _, cell in turns(made)]
    count = len(made.cells)
    thirds = [order[start : start + count] for start in range(0, len(order), count)]
    assert len(thirds) == 3
    assert all(sorted(third) == sorted(made.cells) for third in thirds)
    assert len({third[0] for third in thirds}) == 3


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    made = matrix(tmp_path)
    everything = _todo(made, tmp_path, (), retry=False)
    assert len(everything) == 3 * len(made.cells)
    add_row(tmp_path, row(made, "base", 1))
    add_row(tmp_path, ended(made, "bf16", 1, "refused", "no"))
    add_row(tmp_path, ended(made, "nf4", 1, "failed", "boom"))
    left = [(turn, cell.name) for turn, cell in _todo(made, tmp_path, (), retry=False)]
    assert (1, "base") not in left
    assert (2, "base") in left
    assert "bf16" not in {cell for _, cell in left}
    assert "nf4" not in {cell for _, cell in left}
    again = [(turn, cell.name) for turn, cell in _todo(made, tmp_path, ("bf16", "base"), retry=True)]
    assert {(1, "bf16"), (2, "bf16"), (3, "bf16"), (2, "base"), (3, "base")} == set(again)


def test_a_cell_begins_with_an_empty_folder_whatever_a_killed_bench_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next try failed: "holds a finished export already"."""
    made = matrix(tmp_path)
    bench, left = _Bench(made, tmp_path, "cpu"), tmp_path / WORK / "base-1" / "outputs"
    left.mkdir(parents=True)
    found: list[bool] = []

    def process(self: _Bench, files: list[str], log: int, name: str) -> int:
        found.append(left.exists())
        return 1

    monkeypatch.setattr(_Bench, "_process", process)
    monkeypatch.setattr(_Bench, "_refusal", lambda self, cell: "")
    bench.run(made.cells["base"], 1)
    assert found == [False]


def test_a_cell_that_memory_did_not_suffice_for_has_the_plans_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = matrix(tmp_path)
    bench = _Bench(made, tmp_path, "cpu")
    monkeypatch.setattr(_Bench, "_process", lambda *_: -9)
    monkeypatch.setattr(_Bench, "_refusal", lambda self, cell: "")
    monkeypatch.setattr(_Bench, "_num_items", lambda self: 1000)
    row = bench.run(made.cells["base"], 1)
    assert row["status"] == "out_of_memory"
    assert row["reason"].startswith(
        "killed by the system (signal 9), which it does when memory is full; `recdistill plan`"
    )


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()])
@pytest.mark.parametrize("step", ["teacher", "export"])
def test_a_cell_tells_a_lack_of_memory_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, step: Step
) -> None:
    def fails(run: CellRun) -> None:
        run.step, run.num_items = step, 1000
        raise error

    status, outcome = cell_ends(tmp_path, monkeypatch, fails)
    assert (status, outcome["status"]) == (0, "out_of_memory")
    assert outcome["reason"].startswith(f"{step}: out of memory (cpu, ")
    assert "`recdistill plan` for this machine" in outcome["reason"]


def test_a_cells_other_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: CellRun) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        cell_ends(tmp_path, monkeypatch, fails)


def cell_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[CellRun], None]
) -> tuple[int, dict[str, str]]:
    """A cell's process without the process."""
    made = matrix(tmp_path)
    monkeypatch.setattr(CellRun, "run", run)
    for name in ("watch_parent", "pin"):
        monkeypatch.setattr(cell, name, lambda _: None)
    spec = _Bench(made, tmp_path, "cpu")._spec(made.cells["base"], 1, "base-1", titles_only=False)
    write_json(tmp_path / "spec.json", spec)
    status = cell.main([str(tmp_path / "spec.json"), str(tmp_path / "out.json")])
    return status, json.loads((tmp_path / "out.json").read_text())


def test_other_settings_are_other_work(tmp_path: Path) -> None:
    made = matrix(tmp_path)
    add_row(tmp_path, row(made, "base", 1))
    larger = matrix(tmp_path, MATRIX.replace("rows: 64", "rows: 65", 1))
    assert len(_todo(larger, tmp_path, (), retry=False)) == 3 * len(larger.cells)


@pytest.mark.parametrize(
    ("code", "log", "status", "reason"),
    [
        (None, "", "timed_out", "over 60 s"),
        (-9, "half a line", "out_of_memory", "killed by the system (signal 9), which it does when memory is full"),
        (-11, "last words\n", "failed", "SIGSEGV; last words"),
        (1, "Traceback\n  …\nValueError: no\n\n", "failed", "ValueError: no"),
        (1, "RuntimeError: DefaultCPUAllocator: can't allocate memory", "out_of_memory", None),
        (1, "", "failed", "no output"),
    ],
)
def test_how_a_process_ended_is_a_row(code: int | None, log: str, status: str, reason: str | None) -> None:
    found = _ending(code, log, 60.0)
    assert found["status"] == status
    assert reason is None or found["reason"] == reason


@pytest.mark.parametrize(
    ("code", "english", "japanese"),
    [
        (None, "bf16: timed out: more than 60 s", "bf16: 時間超過（60 秒を超過）"),
        (
            -9,
            "bf16: out of memory: killed by the system, which does so when memory is full",
            "bf16: メモリ不足（メモリ不足により OS が強制終了）",
        ),
    ],
)
def test_the_benchs_own_reasons_are_told_in_the_reports_language(
    tmp_path: Path, code: int | None, english: str, japanese: str
) -> None:
    made, end = matrix(tmp_path), _ending(code, "", 60.0)
    bad = ended(made, "bf16", 1, end["status"], end["reason"])
    found = results(made, {**bad, "cause": end["cause"]})
    assert finding(found, "bf16", "base", BenchTexts("en")) == english
    assert finding(found, "bf16", "base", BenchTexts("ja")) == japanese


def test_reasons_name_no_folder_of_the_machine() -> None:
    text = "teacher.llm: /home/somebody/models/llama: no such folder\n(see a/b)"
    assert without_paths(text) == "teacher.llm: …/llama: no such folder (see a/b)"
