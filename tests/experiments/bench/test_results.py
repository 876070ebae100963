from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, ended, matrix, row
from recdistill.errors import UserError
from recdistill.experiments.bench.results import FILE, add_row, read_rows, results_of


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
