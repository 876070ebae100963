"""The rows of an experiment on disk: one JSON object a line, one line a cell and turn."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from recdistill.errors import UserError
from recdistill.experiments.bench.matrix import Matrix
from recdistill.languages import Kept
from recdistill.measure.facts import Facts, Judged, TokenFacts
from recdistill.storage.checksums import CHECKSUM, sealed
from recdistill.storage.files import parse_json, read_errors, write_text
from recdistill.storage.manifest import Environment, PhaseMemory
from recdistill.storage.typed import JsonValue, typed

logger = logging.getLogger("recdistill")

FILE = "results.jsonl"
FINISHED = "finished"
Status = Literal["finished", "failed", "refused", "out_of_memory", "timed_out"]


class Speed(TokenFacts):
    """What went through a training or an export a second, and the share of the machine's peak that this took."""

    padding_share: float
    steps: int
    seconds: float
    rows_per_second: float
    targets_per_second: float
    useful_tokens_per_second: float
    model_flops: float
    model_flops_utilisation: float


class Throughput(TypedDict):
    """Both, where they took place, and the fastest matrix product in FLOP/s, in this type."""

    train: Speed | None
    export: Speed | None
    matmul_peak_flops: float
    matmul_peak_dtype: str


class _Quality(TypedDict, total=False):
    users: int
    loss: float | None
    per_user: list[float]


Quality = TypedDict("Quality", {"ndcg@10_before": float, "ndcg@10_after": float}, total=False)
"""NDCG@10 on the sampled validation users before and after the pass."""


class MeasuredQuality(_Quality, Quality):
    """The same with the number of users, the last mean loss, and in the first turn each user's NDCG@10."""


class Evidence(TypedDict):
    """Settings judged, and the facts that they were judged by."""

    settings: list[Judged]
    model: Facts


class Measured(TypedDict):
    """What a cell's process measured."""

    evidence: Evidence
    phases: dict[str, float]
    memory: dict[str, PhaseMemory]
    throughput: Throughput
    quality: MeasuredQuality
    environment: Environment


class Outcome(TypedDict):
    """How a cell's process ended, with what it measured, if it ended well and was to measure.

    `reason` is the last line of a process that did not end well, or the bench's own words in English; `cause` are these
    words as a message, which a report tells in its language.
    """

    status: Status
    reason: str
    cause: NotRequired[Kept]
    evidence: NotRequired[Evidence]
    phases: NotRequired[dict[str, float]]
    memory: NotRequired[dict[str, PhaseMemory]]
    throughput: NotRequired[Throughput]
    quality: NotRequired[MeasuredQuality]
    environment: NotRequired[Environment]


class Row(Outcome):
    """A line of `results.jsonl`: a cell in a turn, its settings and sizes, when it began, how it ended."""

    cell: str
    repeat: int
    fingerprint: str
    settings: dict[str, JsonValue]
    sizes: dict[str, int]
    started: str
    seconds: float
    checksum: NotRequired[str]


Key = tuple[str, int, str]


def key(row: Row) -> Key:
    """Cell, turn and settings: what makes a row the same as another."""
    return row["cell"], row["repeat"], row["fingerprint"]


def read_rows(folder: Path) -> list[Row]:
    """All rows of the folder; none where there is no file. Rows of earlier versions have no checksums.

    Raises:
        UserError: a line is not a row, or not as it was written.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    with read_errors(path):
        text = path.read_text(encoding="utf-8")
    return [_row(line, f"{path}:{number}") for number, line in enumerate(text.splitlines(), start=1)]


def _row(line: str, where: str) -> Row:
    try:
        found = parse_json(line)
    except ValueError as error:
        raise UserError(f"{where}: not a row of results") from error
    row = typed(found, Row, where)
    if CHECKSUM in row and sealed(row) != row:
        raise UserError(f"{where}: damaged (its checksum is another)")
    return row


def drop_damaged_rows(folder: Path) -> None:
    """Take out the rows that are not as they were written, and say so: their cells are run again."""
    path = folder / FILE
    if not path.is_file():
        return
    with read_errors(path):
        lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    whole = []
    for number, line in enumerate(lines, start=1):
        try:
            _row(line, f"{path}:{number}")
        except UserError as error:
            logger.warning("bench: a cell is run again, since %s", error)
        else:
            whole.append(f"{line}\n")
    if len(whole) < len(lines):
        write_text(path, "".join(whole))


def add_row(folder: Path, row: Row) -> None:
    """Write a row, in the place of an older one of the same key; a reader sees all of it or nothing."""
    rows = [old for old in read_rows(folder) if key(old) != key(row)]
    rows.append(typed(sealed(row), Row, folder.name))
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
