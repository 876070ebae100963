"""Values of a file's columns as numbers, a piece at a time, so that the outcome is that of the whole column.

Ids are kept as they come (whole numbers) or as numbers of distinct texts; what they mean is decided at the end by all
distinct ones, with the function that reads whole columns. Times of one kind in all pieces are read by pieces too.
Whatever needs the whole column (a missing value, ids that are floats, times of two kinds) is no part of this:
:class:`NeedsAllError` tells it, and the caller reads the columns as a whole.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray
from recdistill.data.streamed.columns import Column
from recdistill.data.values import NOT_A_NUMBER, numbers_of, parse_ids, times_of
from recdistill.tables.tables import Table

TABLE_SIZE = 2**26
"""Whole numbers that lie within so many of one another are looked up in a table of that size, others are searched."""


class NeedsAllError(Exception):
    """The column can only be read as a whole; the message says why."""


class IdColumn:
    """External ids; :meth:`finish` says what they are, :meth:`codes` which of them stands in a row.

    Args:
        path: of the file that takes them, as they come.
        table: where they come from, for messages.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self.path, self.table = path, table
        self.column: Column | None = None
        self._categories = pl.Categories.random()
        self._distinct: NDArray[Any] = np.empty(0, dtype=np.int64)
        self._texts: list[pl.Series] = []
        self._dtype: pl.DataType | None = None
        self._codes: IntArray = np.empty(0, dtype=np.int32)
        self._table: IntArray | None = None

    def add(self, values: pl.Series) -> None:
        """Take the ids of the next rows.

        Raises:
            NeedsAllError: an id is missing, or they are neither whole numbers nor text.
        """
        if values.has_nulls():
            raise NeedsAllError(f"{values.name}: values are missing")
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if values.dtype != pl.String and (not values.dtype.is_integer() or values.dtype in (pl.UInt64, pl.Int128)):
            raise NeedsAllError(f"{values.name}: {values.dtype}")
        self._dtype = self._dtype or values.dtype
        if self.column is None:
            self.column = Column(self.path, np.uint32 if self._dtype == pl.String else np.int64)
        self.column.append(self._text_numbers(values) if self._dtype == pl.String else self._whole_numbers(values))

    def finish(self, name: str) -> list[str]:
        """External ids in natural order, when all rows have been taken.

        Raises:
            BadValueError: one of them is no id.
            UserError: see :func:`recdistill.data.values.parse_ids`.
        """
        if self._dtype == pl.String:
            distinct = pl.concat(self._texts).cast(pl.String)
            order = np.concatenate([part.to_physical().to_numpy() for part in self._texts])
        else:
            distinct = pl.Series(name, self._distinct, dtype=self._dtype)
        self._texts = []
        codes, ids = parse_ids(distinct.alias(name), self.table)
        if self._dtype == pl.String:
            self._table = np.zeros(int(order.max()) + 1, dtype=np.int32)
            self._table[order] = codes
        elif int(self._distinct[-1]) - int(self._distinct[0]) < TABLE_SIZE:
            self._table = np.zeros(int(self._distinct[-1] - self._distinct[0]) + 1, dtype=np.int32)
            self._table[self._distinct - self._distinct[0]] = codes
        self._codes = codes
        return ids

    def codes(self, raw: NDArray[Any]) -> IntArray:
        """Indices into what :meth:`finish` returned, of rows of :attr:`column`: int32."""
        if self._dtype == pl.String:
            assert self._table is not None
            return np.asarray(self._table[raw])
        if self._table is not None:
            return np.asarray(self._table[raw - self._distinct[0]])
        return np.asarray(self._codes[np.searchsorted(self._distinct, raw)])

    def _whole_numbers(self, values: pl.Series) -> NDArray[np.int64]:
        numbers = values.cast(pl.Int64).to_numpy()
        new = _distinct(numbers)
        if len(self._distinct):
            places = np.minimum(np.searchsorted(self._distinct, new), len(self._distinct) - 1)
            new = new[self._distinct[places] != new]
        if len(new):
            merged = np.concatenate([self._distinct, new])
            merged.sort(kind="stable")  # Two sorted runs are merged in one pass.
            self._distinct = merged
        return numbers

    def _text_numbers(self, values: pl.Series) -> NDArray[np.uint32]:
        named = values.cast(pl.Categorical(self._categories))
        numbers = named.to_physical().to_numpy()
        most = len(self._distinct)
        if (top := int(numbers.max(initial=0))) >= most:
            self._distinct = np.concatenate([self._distinct, np.zeros(max(top + 1 - most, most), dtype=np.int64)])
        there = _distinct(numbers)
        new = there[self._distinct[there] == 0]
        if len(new):
            self._distinct[new] = 1
            unique = named.unique()
            self._texts.append(unique.filter(pl.Series(np.isin(unique.to_physical().to_numpy(), new))))
        return numbers


class TimeColumn:
    """Event times in seconds, as :func:`recdistill.data.values.parse_times` reads them."""

    def __init__(self, path: Path, table: Table) -> None:
        self.column = Column(path, np.int64)
        """Bits of whole numbers or of floats, as :attr:`whole` says of each piece."""
        self.table = table
        self.whole: list[tuple[int, bool]] = []
        self._rule = ""

    @property
    def dtype(self) -> Any:
        """Int64 where all times are whole."""
        return np.int64 if all(whole for _, whole in self.whole) else np.float64

    def add(self, values: pl.Series) -> None:
        """Take the times of the next rows.

        Raises:
            NeedsAllError: one is missing or wrong, or some are numbers and some are date-times.
        """
        times, rule = times_of(values, self.table)
        if times.has_nulls():
            raise NeedsAllError(f"{values.name}: values are missing or wrong")
        if self._rule not in ("", rule):
            raise NeedsAllError(f"{values.name}: numbers and date-times")
        self._rule = rule
        found = times.to_numpy()
        self.column.append(found.view(np.int64))
        self.whole.append((self.column.rows, times.dtype == pl.Int64))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Times of rows `start` to `stop` - 1, all of them int64 or all float64."""
        raw, dtype = self.column.read(start, stop), self.dtype
        if dtype == np.int64:
            return raw
        found, before = raw.view(np.float64).copy(), 0
        for end, whole in self.whole:
            inside = slice(max(before - start, 0), max(end - start, 0))
            if whole and before < stop:
                found[inside] = raw[inside]
            before = end
        return found


def _distinct(numbers: NDArray[Any]) -> NDArray[Any]:
    """As :func:`numpy.unique`, which puts whole numbers into a hash table and takes twenty times as long (2.4.6)."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def ratings_of(values: pl.Series, table: Table) -> NDArray[np.float64]:
    """Ratings of a piece.

    Raises:
        NeedsAllError: one is missing or no number.
    """
    found = numbers_of(values, table)
    if found.has_nulls():
        raise NeedsAllError(f"{values.name}: a value {NOT_A_NUMBER}")
    return found.to_numpy()
