from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, ended, matrix, row
from recdistill.experiments.bench.results import add_row
from recdistill.experiments.bench.runner import WORK, _Bench, _ending, _todo, turns, without_paths


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


def test_reasons_name_no_folder_of_the_machine() -> None:
    text = "teacher.llm: /home/somebody/models/llama: no such folder\n(see a/b)"
    assert without_paths(text) == "teacher.llm: …/llama: no such folder (see a/b)"
