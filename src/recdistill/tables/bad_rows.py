"""Rows that cannot be used: collected over a whole file, then told in one go or left out."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recdistill.errors import UserError

logger = logging.getLogger("recdistill")

TOLD = 20
"""Bad rows that are told; the others are counted."""

SHOWN = 60
"""Characters of a bad value that are shown."""


class BadRow(NamedTuple):
    """One of them.

    Attributes:
        place: `file:line`, or `file: row n`.
        problem: what is wrong with it.
    """

    place: str
    problem: str

    def __str__(self) -> str:
        """Place and problem, as error messages have them."""
        return f"{self.place}: {self.problem}"


@dataclass
class BadRows:
    """The bad rows of one file, in its order.

    Attributes:
        name: the file.
        count: how many there are.
        first: the first of them, at most :data:`TOLD`.
    """

    name: str
    count: int = 0
    first: list[BadRow] = field(default_factory=list)

    def add(self, rows: Sequence[BadRow], count: int | None = None) -> None:
        """Add rows; of `count` of them only the first need be given."""
        self.count += len(rows) if count is None else count
        self.first += rows[: max(0, TOLD - len(self.first))]

    def with_others(self, others: "BadRows") -> "BadRows":
        """These and others of the same file, in its order."""
        rows = sorted([*self.first, *others.first], key=lambda row: _numbers_in(row.place))
        return BadRows(self.name, self.count + others.count, rows[:TOLD])

    def error(self) -> UserError:
        """All of it in one line: the one bad row, or how many there are and where the first of them stand."""
        if self.count == 1:
            return UserError(str(self.first[0]))
        more = f"; the first {len(self.first)}" if self.count > len(self.first) else ""
        places = "; ".join(str(row).removeprefix(self.name).lstrip(": ") for row in self.first)
        return UserError(f"{self.name}: {self.count:,} bad rows (data.bad_rows skip leaves them out){more}: {places}")

    def warn(self) -> None:
        """Log the same as a warning: they are left out."""
        for row in self.first:
            logger.warning("left out: %s", row)
        if self.count > len(self.first):
            logger.warning("left out: %s bad rows of %s in all", f"{self.count:,}", self.name)


def _numbers_in(place: str) -> list[tuple[int, str]]:
    """Sort key of a place: its numbers by value."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"([0-9]+)", place)]


def shown(value: object) -> str:
    """A bad value as messages show it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
