"""The rows of an experiment on disk: one JSON object a line, one line a cell and turn."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recdistill.errors import UserError
from recdistill.experiments.bench.matrix import Matrix
from recdistill.storage.files import write_text

FILE = "results.jsonl"
FINISHED = "finished"
Row = dict[str, Any]
Key = tuple[str, int, str]


def key(row: Row) -> Key:
    """Cell, turn and settings: what makes a row the same as another."""
    return row["cell"], row["repeat"], row["fingerprint"]


def read_rows(folder: Path) -> list[Row]:
    """All rows of the folder; none where there is no file.

    Raises:
        UserError: a line is not a row.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            key(row)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number}: not a row of results") from error
        rows.append(row)
    return rows


def add_row(folder: Path, row: Row) -> None:
    """Write a row, in the place of an older one of the same key; a reader sees all of it or nothing."""
    rows = [old for old in read_rows(folder) if key(old) != key(row)] + [row]
    write_text(folder / FILE, "".join(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in rows))


@dataclass(frozen=True)
class Results:
    """The rows of a matrix as it is now: those of other settings are left aside."""

    matrix: Matrix
    rows: dict[str, dict[int, Row]]
    """By cell and turn."""

    def finished(self, cell: str) -> dict[int, Row]:
        """The turns that ended well."""
        return {turn: row for turn, row in self.rows.get(cell, {}).items() if row["status"] == FINISHED}

    def trouble(self, cell: str) -> Row | None:
        """The first row that tells why the cell has none that ended well; None where it has, or has not run."""
        if self.finished(cell):
            return None
        return next(iter(self.rows.get(cell, {}).values()), None)

    def due(self, cell: str) -> list[int]:
        """Turns that have still to be made; none where a turn has ended badly and no other well: it would again."""
        found = self.rows.get(cell, {})
        if found and not self.finished(cell):
            return []
        return [turn for turn in range(1, self.matrix.repeats + 1) if turn not in found]

    def ended_badly(self, cell: str) -> list[Row]:
        """The turns that did not end well."""
        return [row for row in self.rows.get(cell, {}).values() if row["status"] != FINISHED]

    def all(self) -> list[Row]:
        """Every row, in the matrix's order."""
        return [row for turns in self.rows.values() for row in turns.values()]


def results_of(matrix: Matrix, rows: Iterable[Row]) -> Results:
    """The rows that belong to the matrix, by cell and turn."""
    found: dict[str, dict[int, Row]] = {}
    by_key = {key(row): row for row in rows}
    for name, cell in matrix.cells.items():
        fingerprint = cell.fingerprint(matrix.threads)
        for turn in range(1, matrix.repeats + 1):
            if row := by_key.get((name, turn, fingerprint)):
                found.setdefault(name, {})[turn] = row
    return Results(matrix, found)
