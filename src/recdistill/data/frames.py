"""Data frames in place of files: polars, pandas and Arrow, their columns called as in files (`data.columns`).

pandas is read column by column through numpy and Python values: polars itself converts text columns of pandas only
where pyarrow is installed, which nothing else here needs (polars 2.1.0, pandas 3.1.1).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recdistill.errors import UserError
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.tables import require_columns

WHAT = "a polars, pandas or Arrow data frame"


@dataclass(frozen=True)
class FrameTable:
    """A data frame as :class:`recdistill.tables.tables.Table`; columns keep their types.

    Attributes:
        path: what messages call it, such as `interactions`.
        frame: its rows.
    """

    path: Path
    frame: pl.DataFrame
    decimal: str = "."

    @property
    def files(self) -> list[Path]:
        """A frame is read from no file."""
        return []

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.frame.columns)

    def read(self, wanted: Sequence[str], bad: BadRows | None = None, may_be_empty: bool = False) -> pl.DataFrame:
        """See :class:`recdistill.tables.tables.Table`; every row can be read."""
        require_columns(self, wanted)
        if self.frame.is_empty() and not may_be_empty:
            raise UserError(f"{self.path}: no rows")
        return self.frame.select(wanted)

    def types(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`recdistill.tables.tables.Table`."""
        return self.frame.select(wanted).clear()

    def pieces(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """See :class:`recdistill.tables.tables.Table`: the whole frame, which is in memory already."""
        yield self.read(wanted, bad, may_be_empty=True)

    def places(self, rows: Sequence[int]) -> list[str]:
        """See :class:`recdistill.tables.tables.Table`. Rows count from 1; a pandas index is not read."""
        return [f"{self.path}: row {row + 1}" for row in rows]


@dataclass(frozen=True)
class Frames:
    """What a run reads with `data.source: frames`.

    Attributes:
        interactions: one row per interaction.
        items: titles and texts of the items; None: no item has a title.
    """

    interactions: FrameTable
    items: FrameTable | None = None

    @classmethod
    def of(cls, interactions: Any, items: Any = None) -> "Frames":
        """Frames of any of the three libraries.

        Raises:
            UserError: one is no data frame, or two of its columns have one name.
        """
        return cls(frame_table(interactions, "interactions"), None if items is None else frame_table(items, "items"))

    def digest(self, interactions: Sequence[str], items: Sequence[str]) -> str:
        """Names the content of these columns, whatever library holds them: 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for table, names in ((self.interactions, interactions), (self.items, items)):
            for name in names if table is not None else ():
                _add(digest, table.frame[name])  # type: ignore[union-attr]
        return digest.hexdigest()


def frame_table(frame: Any, name: str) -> FrameTable:
    """A data frame as a table.

    Args:
        frame: of polars (lazy ones are collected), of pandas, or anything that speaks Arrow's C stream interface, such
            as pyarrow's tables and DuckDB's relations.
        name: what messages call it.

    Raises:
        UserError: it is no data frame, or two of its columns have one name.
    """
    return FrameTable(Path(name), to_polars(frame, name))


def to_polars(frame: Any, name: str) -> pl.DataFrame:
    """See :func:`frame_table`."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if is_pandas(frame):
        return _from_pandas(frame, name)
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    raise UserError(f"{name}: {type(frame).__name__} is not {WHAT}")


def is_pandas(frame: Any) -> bool:
    """Whether this is a frame of pandas, without importing it."""
    kind = type(frame)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def like(answer: pl.DataFrame, given: Any) -> Any:
    """A polars frame as one of the library that `given` is of: pandas, pyarrow, else polars."""
    if is_pandas(given):
        return type(given)({name: answer[name].to_list() for name in answer.columns})
    if type(given).__module__.partition(".")[0] == "pyarrow":
        return answer.to_arrow()
    return answer


def _from_pandas(frame: Any, name: str) -> pl.DataFrame:
    names = [str(column) for column in frame.columns]
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise UserError(f"{name}: two columns are called {twice!r}")
    return pl.DataFrame([_series(frame.iloc[:, place], column) for place, column in enumerate(names)])


def _series(column: Any, name: str) -> pl.Series:
    """A column of pandas, missing values as null."""
    kind = str(column.dtype)
    missing = column.isna().to_numpy()
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        made = pl.Series(name, column.to_numpy())
        return made.set(pl.Series(missing), None) if missing.any() else made
    if kind.startswith("datetime64"):
        moments = column if isinstance(column.dtype, np.dtype) else column.dt.tz_convert("UTC").dt.tz_localize(None)
        made = pl.Series(name, moments.to_numpy().astype("datetime64[us]"))
        return made if isinstance(column.dtype, np.dtype) else made.dt.replace_time_zone("UTC")
    values = [None if gone else value for value, gone in zip(column.tolist(), missing.tolist(), strict=True)]
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return pl.Series(name, values, strict=False) if kinds else pl.Series(name, values, dtype=pl.String)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def _add(digest: Any, column: pl.Series) -> None:
    """Add a column's name, where it has values, and the values."""
    digest.update(f"{column.name}\0{len(column)}\0".encode())
    digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
    if column.dtype.is_integer():
        digest.update(b"whole" + column.fill_null(0).cast(pl.Int64, strict=False).fill_null(0).to_numpy().tobytes())
    elif column.dtype.is_float():
        digest.update(b"float" + column.fill_null(0.0).cast(pl.Float64).to_numpy().tobytes())
    elif column.dtype.is_temporal():
        digest.update(
            f"{column.dtype}".encode() + column.to_physical().fill_null(0).cast(pl.Int64).to_numpy().tobytes()
        )
    else:
        text = column.cast(pl.String).fill_null("")
        digest.update(b"text" + text.str.len_bytes().to_numpy().tobytes() + text.str.join("").item().encode())
