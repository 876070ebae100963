"""Interactions from tables into files, a piece at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recdistill.config.source import ColumnsConfig
from recdistill.data.about import EventCounts
from recdistill.data.streamed.columns import Column, added, by_blocks
from recdistill.data.streamed.values import IdColumn, NeedsAllError, TimeColumn, ratings_of
from recdistill.data.values import BadValueError, parse_parts
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.tables import Table


@dataclass(frozen=True)
class StoredEvents:
    """Interactions in files: columns of one length, see :class:`recdistill.data.interactions.Interactions`.

    Attributes:
        user_ids: external ids in natural order, those without interactions included.
        item_ids: the same of the items.
        counts: of the interactions of each user and of each item, by what was counted last.
    """

    folder: Path
    users: Column
    items: Column
    times: Column
    parts: Column | None
    user_ids: list[str]
    item_ids: list[str]
    counts: tuple[NDArray[np.int64], NDArray[np.int64]]

    @property
    def columns(self) -> list[Column]:
        """Those that there are: users, items, times and, where the file or its rows say it, parts."""
        return [self.users, self.items, self.times, *([self.parts] if self.parts is not None else [])]


def event_counts(users: NDArray[np.int64], items: NDArray[np.int64]) -> EventCounts:
    """Counts of interactions as `data.json` has them."""
    used = (int(np.count_nonzero(counts)) for counts in (users, items))
    return {"events": int(users.sum()), "users": next(used), "items": next(used)}


class _Raw:
    """What the tables say, as it comes."""

    def __init__(self, table: Table, names: ColumnsConfig, folder: Path, with_ratings: bool) -> None:
        self.table, self.names = table, names
        self.users, self.items = IdColumn(folder / "raw-users", table), IdColumn(folder / "raw-items", table)
        self.times = TimeColumn(folder / "raw-times", table) if names.timestamp else None
        self.ratings = Column(folder / "raw-ratings", np.float64) if with_ratings else None
        self.parts = Column(folder / "raw-parts", np.int8) if names.split else None
        self.rows = 0

    def add(self, piece: pl.DataFrame) -> None:
        """Take the next rows."""
        names = self.names
        self.users.add(piece[names.user])
        self.items.add(piece[names.item])
        if self.times is not None:
            self.times.add(piece[names.timestamp])
        if self.ratings is not None:
            self.ratings.append(ratings_of(piece[names.rating], self.table))
        if self.parts is not None:
            self.parts.append(parse_parts(piece[names.split], self.table))
        self.rows += piece.height

    def remove(self) -> None:
        """Remove the files."""
        times = None if self.times is None else self.times.column
        others = (self.users.column, self.items.column, times, self.ratings, self.parts)
        for column in others:
            if column is not None:
                column.remove()


def read_stored(
    table: Table, names: ColumnsConfig, min_rating: float | None, folder: Path
) -> tuple[StoredEvents, Mapping[str, EventCounts]]:
    """All interactions in file order, without those rated too low, and the counts of both.

    Args:
        table: the interactions.
        names: of its columns; an empty one: there is none.
        min_rating: least rating; None: there are no ratings to read.
        folder: takes the files.

    Raises:
        NeedsAllError: a row is bad, or a column can only be read as a whole: nothing is told of it here.
        UserError: a column is missing, or the disk is full.
    """
    wanted = [names.user, names.item, *(name for name in (names.timestamp, names.split) if name)]
    wanted += [names.rating] if min_rating is not None else []
    raw, bad = _Raw(table, names, folder, min_rating is not None), BadRows(str(table.path))
    try:
        for piece in table.pieces(wanted, bad):
            if bad.count:
                raise NeedsAllError(f"{table.path}: bad rows")
            if piece.height:
                raw.add(piece)
        if bad.count or not raw.rows:
            raise NeedsAllError(f"{table.path}: bad rows, or none")
        ids = raw.users.finish(names.user), raw.items.finish(names.item)
        return _numbered(raw, ids, min_rating, folder)
    except (BadValueError, PolarsError) as error:
        raise NeedsAllError(str(error)) from error
    finally:
        raw.remove()


def _numbered(
    raw: _Raw, names: tuple[list[str], list[str]], min_rating: float | None, folder: Path
) -> tuple[StoredEvents, Mapping[str, EventCounts]]:
    """The interactions with users and items as numbers."""
    users, items = Column(folder / "users", np.int32), Column(folder / "items", np.int32)
    times = Column(folder / "times", np.int64 if raw.times is None else raw.times.dtype)
    parts = None if raw.parts is None else Column(folder / "parts", np.int8)
    before, after = _zeros(names), _zeros(names)
    for rows in by_blocks(raw.rows):
        start, stop = rows.start, rows.stop
        values: list[NDArray[Any]] = [
            ids.codes(ids.column.read(start, stop)) for ids in (raw.users, raw.items) if ids.column is not None
        ]
        values.append(np.arange(start, stop) if raw.times is None else raw.times.read(start, stop))
        values += [] if raw.parts is None else [raw.parts.read(start, stop)]
        _count(before, values)
        if raw.ratings is not None:
            kept = raw.ratings.read(start, stop) >= min_rating
            values = [column[kept] for column in values]
            _count(after, values)
        for column, kept_values in zip((users, items, times, parts), values, strict=False):
            assert column is not None
            column.append(kept_values)
    steps = {"read": event_counts(*before)}
    if raw.ratings is not None:
        steps["min_rating"] = event_counts(*after)
    counts = before if raw.ratings is None else after
    return StoredEvents(folder, users, items, times, parts, *names, counts), steps


def _zeros(ids: tuple[list[str], list[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros(len(ids[0]), dtype=np.int64), np.zeros(len(ids[1]), dtype=np.int64)


def _count(counts: tuple[NDArray[np.int64], NDArray[np.int64]], values: list[NDArray[Any]]) -> None:
    for found, column in zip(counts, values, strict=False):
        added(found, np.bincount(column))
