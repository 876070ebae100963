"""Several files as one table: part files in a folder, hive partitions, and ready files for each part of a split."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recdistill.errors import UserError
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.table_formats import plain_files
from recdistill.tables.tables import Table, require_columns

LongArray = NDArray[np.int64]

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the folder of rows whose value is missing."""

TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".dat", ".parquet", ".pq")
PACKED_ENDINGS = (".gz", ".zst", ".bz2", ".xz")


@dataclass(frozen=True)
class Part:
    """One of the files.

    Attributes:
        table: the file.
        constants: columns that have one value in all of its rows, which stands outside of it; None: it is missing.
        deleted: numbers of its rows that do not count, ascending; None: all count.
        types: of the constants, where they are not text.
    """

    table: Table
    constants: Mapping[str, Any] = field(default_factory=dict)
    deleted: LongArray | None = None
    types: Mapping[str, pl.DataType] = field(default_factory=dict)

    @property
    def outside(self) -> list[dict[str, str | None]]:
        """What a path or a log says beside the file's bytes, and of the files of a joined table; empty: nothing."""
        said = [{name: value if value is None else str(value) for name, value in self.constants.items()}]
        if self.deleted is not None:
            said.append({"deleted rows": hashlib.sha256(self.deleted.tobytes()).hexdigest()})
        inside = self.table.outside if isinstance(self.table, JoinedTable) else []
        return [one for one in (*said, *inside) if one]

    def remaining(self, frame: pl.DataFrame, before: int = 0) -> pl.DataFrame:
        """The rows that count, of a frame that begins with row `before`."""
        if self.deleted is None:
            return frame
        first, end = np.searchsorted(self.deleted, (before, before + frame.height))
        counts = np.ones(frame.height, dtype=bool)
        counts[self.deleted[first:end] - before] = False
        return frame.filter(counts)

    def rows_of_the_file(self, rows: Sequence[int]) -> list[int]:
        """Numbers in the file of rows that count, from their numbers among those."""
        if self.deleted is None:
            return list(rows)
        passed = np.searchsorted(self.deleted - np.arange(len(self.deleted)), rows, side="right")
        return [int(row) for row in np.asarray(rows) + passed]


@dataclass(frozen=True)
class JoinedTable:
    """The rows of several files, one file after another.

    Attributes:
        path: what the files are called together.
        parts: the files, one or more.
    """

    path: Path
    parts: tuple[Part, ...]
    _heights: list[int] = field(default_factory=list, repr=False, compare=False)
    """Rows of each part, as :meth:`read` found them."""

    @property
    def files(self) -> list[Path]:
        """See :class:`recdistill.tables.tables.Table`."""
        return [file for part in self.parts for file in part.table.files]

    @property
    def outside(self) -> list[dict[str, str | None]]:
        """See :attr:`Part.outside`, file by file; an empty dictionary for a file of which nothing is said."""
        return [one for part in self.parts for one in part.outside or [{}]]

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`recdistill.tables.tables.Table`: columns of the first file, and those outside of it."""
        first = self.parts[0]
        return (*first.table.names, *(name for name in first.constants if name not in first.table.names))

    @property
    def decimal(self) -> str:
        """See :class:`recdistill.tables.tables.Table`."""
        return self.parts[0].table.decimal

    def read(self, wanted: Sequence[str], bad: BadRows | None = None, may_be_empty: bool = False) -> pl.DataFrame:
        """See :class:`recdistill.tables.tables.Table`. A column outside of the files wins over one in them."""
        require_columns(self, wanted)
        problems = BadRows(str(self.path)) if bad is None else bad
        frames = [_read(part, wanted, problems) for part in self.parts]
        if bad is None and problems.count:
            raise problems.error()
        self._heights[:] = [frame.height for frame in frames]
        if not sum(self._heights) and not may_be_empty:
            raise problems.error() if problems.count else UserError(f"{self.path}: no rows")
        try:
            return pl.concat(frames, how="vertical_relaxed")
        except PolarsError as error:
            raise UserError(f"{self.path}: its files hold different types of values ({_types(frames)})") from error

    def types(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`recdistill.tables.tables.Table`: the types that the values of all files have in common."""
        frames = [_typed(part, part.table.types(_inside(part, wanted)), wanted) for part in self.parts]
        try:
            return pl.concat(frames, how="vertical_relaxed")
        except PolarsError as error:
            raise UserError(f"{self.path}: its files hold different types of values ({_types(frames)})") from error

    def pieces(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """See :class:`recdistill.tables.tables.Table`."""
        require_columns(self, wanted)
        common = self.types(wanted).schema
        for part in self.parts:
            before = 0
            for piece in part.table.pieces(_inside(part, wanted), bad):
                yield _typed(part, part.remaining(piece, before), wanted).cast(common)
                before += piece.height

    def places(self, rows: Sequence[int]) -> list[str]:
        """See :class:`recdistill.tables.tables.Table`."""
        found, before = list[str](), 0
        for part, height in zip(self.parts, self._heights, strict=True):
            inside = [row - before for row in rows if before <= row < before + height]
            found += part.table.places(part.rows_of_the_file(inside)) if inside else []
            before += height
        return found


def folder_table(folder: Path, open_one: Callable[[Path], Table]) -> Table:
    """All part files in a folder and the folders in it, in natural order of their paths (`part-2` before `part-10`).

    Hidden files and those that Spark and Hadoop write beside (`_SUCCESS`, `.part-0.crc`) are passed over, as are empty
    ones. Folders called `name=value` give a column (hive partitions). Where some files have a table's ending, the
    others are passed over too.

    Raises:
        UserError: there is no file to read, one cannot be read, one lacks a column that the first one has, or there is
            a log beside the files that says which of them count.
    """
    files = [path for path in plain_files(folder) if path.is_file() and path.stat().st_size]
    files = [path for path in files if is_table(path)] or files
    if not files:
        raise UserError(f"{folder}: a folder without a file to read")
    files.sort(key=lambda path: _natural(path.relative_to(folder)))
    parts = tuple(Part(open_one(path), _partitions(path.relative_to(folder))) for path in files)
    table = JoinedTable(folder, parts)
    for part in parts:
        missing = set(table.names) - {*part.table.names, *part.constants}
        if missing:
            raise UserError(f"{part.table.path}: no column {min(missing)!r}, which {parts[0].table.path} has")
    return table


def is_table(path: Path) -> bool:
    """Whether a file is called as tables are, packed or not."""
    ending = path.with_suffix("").suffix if path.suffix.lower() in PACKED_ENDINGS else path.suffix
    return ending.lower() in TABLE_ENDINGS


def _read(part: Part, wanted: Sequence[str], bad: BadRows) -> pl.DataFrame:
    rows = part.table.read(_inside(part, wanted), bad, may_be_empty=True)
    return _typed(part, part.remaining(rows), wanted)


def _inside(part: Part, wanted: Sequence[str]) -> Sequence[str]:
    """The columns to read of the file itself, one at least: the number of rows stands nowhere else."""
    return [name for name in wanted if name not in part.constants] or part.table.names[:1]


def _typed(part: Part, frame: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
    """Rows of the file with the wanted columns, those outside of it included."""
    said = {name: value for name, value in part.constants.items() if name in wanted}
    types = {name: part.types.get(name, pl.Null if value is None else pl.String) for name, value in said.items()}
    outside = [pl.lit(value, dtype=types[name]).alias(name) for name, value in said.items()]
    return frame.with_columns(outside).select(wanted)


def _natural(path: Path) -> list[list[tuple[int, str]]]:
    """Sort key of a path: numbers in names by value."""
    return [
        [(int(piece), "") if piece.isascii() and piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]
        for name in path.parts
    ]


def _partitions(path: Path) -> dict[str, str | None]:
    """Columns that the folders on the way say."""
    pairs = (name.split("=", 1) for name in path.parent.parts if "=" in name)
    return {unquote(name): None if value == NO_VALUE else unquote(value) for name, value in pairs}


def _types(frames: Sequence[pl.DataFrame]) -> str:
    seen = {f"{name} {dtype}" for frame in frames for name, dtype in frame.schema.items()}
    return ", ".join(sorted(seen))
