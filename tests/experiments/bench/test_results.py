from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, ended, matrix, row
from recdistill.errors import UserError
from recdistill.experiments.bench.results import FILE, add_row, drop_damaged_rows, read_rows, results_of


def test_a_row_takes_the_place_of_the_one_before_it(tmp_path: Path) -> None:
    made = matrix(tmp_path)
    add_row(tmp_path, ended(made, "bf16", 1, "failed", "boom"))
    add_row(tmp_path, row(made, "base", 1))
    add_row(tmp_path, row(made, "bf16", 1))
    assert [(each["cell"], each["status"]) for each in read_rows(tmp_path)] == [
        ("base", "finished"),
        ("bf16", "finished"),
    ]


def test_rows_of_other_settings_are_kept_and_left_aside(tmp_path: Path) -> None:
    made, other = matrix(tmp_path), matrix(tmp_path, MATRIX.replace("rows: 64", "rows: 65", 1))
    for each in (made, other):
        add_row(tmp_path, row(each, "base", 1, train=each.cells["base"].sizes.rows))
    assert len(read_rows(tmp_path)) == 2
    found = results_of(made, read_rows(tmp_path))
    assert [each["phases"]["train step"] for each in found.all()] == [64]


def test_a_broken_line_is_told_with_its_number(tmp_path: Path) -> None:
    add_row(tmp_path, row(matrix(tmp_path), "base", 1))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"cell": "ba')
    with pytest.raises(UserError, match=rf"{FILE}:2: not a row of results"):
        read_rows(tmp_path)


def test_a_row_that_is_not_as_it_was_written_is_told_and_run_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = matrix(tmp_path)
    for cell in ("base", "bf16"):
        add_row(tmp_path, row(made, cell, 1))
    path = tmp_path / FILE
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{second.replace('finished', 'finishee')}\n{second[:40]}\n")
    with pytest.raises(UserError, match=rf"{FILE}:2: "):
        read_rows(tmp_path)
    path.write_text(f"{first}\n{second.replace('1', '2', 1)}\n{second[:40]}\n")
    with pytest.raises(UserError, match=rf"{FILE}:2: damaged"):
        read_rows(tmp_path)
    drop_damaged_rows(tmp_path)
    assert [each["cell"] for each in read_rows(tmp_path)] == ["base"]
    assert caplog.text.count("a cell is run again") == 2
