"""Tables: files of rows with named columns. Every complaint names the file and the line.

Parquet is read here, text in :mod:`recdistill.tables.text_tables`, several files as one in
:mod:`recdistill.tables.folders`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
from polars.exceptions import PanicException, PolarsError

from recdistill.errors import UserError
from recdistill.tables.bad_rows import BadRows, shown
from recdistill.tables.kinds import is_parquet, what_it_is

NAMED = 30
"""Columns that a message names."""

PIECE_ROWS = 2**19
"""Rows of a Parquet file that are read at a time where it is read in pieces."""


class Table(Protocol):
    """A file of rows with named columns, or several files that are read as one."""

    @property
    def path(self) -> Path:
        """The file, or the folder."""

    @property
    def files(self) -> list[Path]:
        """All files that are read."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""

    @property
    def decimal(self) -> str:
        """What stands before the decimals of a number that is written as text."""

    def read(self, wanted: Sequence[str], bad: BadRows | None = None, may_be_empty: bool = False) -> pl.DataFrame:
        """The wanted columns, rows in file order; in text files all columns are text and an empty value is null.

        Args:
            wanted: names of columns.
            bad: takes the rows that cannot be read, which are left out; None: one such row is an error.
            may_be_empty: whether a file without rows is in order.

        Raises:
            UserError: a column is missing, there are no rows but bad ones, or the file or a row cannot be read.
        """

    def types(self, wanted: Sequence[str]) -> pl.DataFrame:
        """A frame without rows that has the wanted columns with their types."""

    def pieces(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """The rows of :meth:`read` in frames of up to a few hundred thousand; there may be none."""

    def places(self, rows: Sequence[int]) -> list[str]:
        """Where rows of :meth:`read` stand, as `file:line` or `file: row n`; `rows` ascend."""


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file; columns keep their types."""

    path: Path
    names: tuple[str, ...]
    decimal: str = "."

    @property
    def files(self) -> list[Path]:
        """See :class:`Table`."""
        return [self.path]

    def read(self, wanted: Sequence[str], bad: BadRows | None = None, may_be_empty: bool = False) -> pl.DataFrame:
        """See :class:`Table`; every row can be read."""
        require_columns(self, wanted)
        with _parquet_errors(self.path):
            frame = pl.read_parquet(self.path, columns=list(wanted), glob=False, hive_partitioning=False)
        if frame.is_empty() and not may_be_empty:
            raise UserError(f"{self.path}: no rows")
        return frame.select(wanted)

    def types(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`Table`."""
        with _parquet_errors(self.path):
            schema = _schema(self.path)
            return pl.DataFrame(schema={name: schema[name] for name in wanted})

    def pieces(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """See :class:`Table`."""
        require_columns(self, wanted)
        rows = pl.scan_parquet(self.path, glob=False, hive_partitioning=False).select(wanted)
        with _parquet_errors(self.path):
            yield from rows.collect_batches(chunk_size=PIECE_ROWS, maintain_order=True)

    def places(self, rows: Sequence[int]) -> list[str]:
        """See :class:`Table`. Rows count from 1."""
        return [f"{self.path}: row {row + 1}" for row in rows]


def parquet(path: Path) -> ParquetTable:
    """A Parquet file.

    Raises:
        UserError: the file is missing or not Parquet.
    """
    if not is_parquet(path):
        found = what_it_is(path)
        raise UserError(f"{path}: not a Parquet file" + (f" but {found}" if found else ""))
    try:
        return ParquetTable(path, tuple(_schema(path)))
    except (PolarsError, PanicException) as error:
        raise UserError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})") from error


def _schema(path: Path) -> Mapping[str, pl.DataType]:
    """The columns of a Parquet file; the path itself would be taken for a pattern."""
    with path.open("rb") as file:
        return pl.read_parquet_schema(file)


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Turn what polars raises of a file that it cannot read into a :class:`UserError`."""
    try:
        yield
    except (PolarsError, PanicException) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def require_columns(table: Table, wanted: Sequence[str]) -> None:
    """Check that the table has these columns.

    Raises:
        UserError: it lacks one; the message lists those it has.
    """
    for name in wanted:
        if name not in table.names:
            known = ", ".join(map(shown, table.names[:NAMED])) + ", …" * (len(table.names) > NAMED)
            raise UserError(f"{table.path}: no column {name!r}; it has {known}{_separator_hint(table.names)}")


def _separator_hint(names: tuple[str, ...]) -> str:
    """With one column only, which separator the file seems to have."""
    if len(names) != 1:
        return ""
    seen = next((mark for mark in (";", "\t", "|", ",", "::") if mark in names[0]), "")
    if seen:
        return f"; the separator seems to be {'tab' if seen == chr(9) else repr(seen)} (data.separator)"
    return "; with one column only, the separator may be another"
