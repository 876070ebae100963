"""From the values in a file to ids, times and numbers, or to an error that says which value is wrong and where."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recdistill.data.prepared import IntArray
from recdistill.data.tables import Table
from recdistill.errors import UserError

LOST = ("", "nan")
"""What an id looks like that some tool has lost: empty, or "not a number" in any case of letters."""

DATE_TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M", "%Y-%m-%d",
)  # fmt: skip
"""ISO 8601 as people write it; a time without a zone is UTC."""

MICROSECONDS = 1_000_000

PART_NAMES = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}
"""What a column with the split may hold, and the index of that part in `recdistill.data.splits.PARTS`."""


def parse_ids(column: pl.Series, table: Table) -> tuple[IntArray, list[str]]:
    """External ids as indices, int32, into the list of distinct ids in natural order (see :func:`natural_order`).

    Raises:
        UserError: an id is empty or NaN, or the column holds neither text nor numbers.
    """
    text = _as_text(column, table)
    distinct = text.unique()
    if distinct.null_count() or distinct.str.to_lowercase().is_in(LOST).any():
        lost = text.is_null() | text.str.to_lowercase().is_in(LOST)
        raise _complaint(table, lost, column, "is not an id")
    ids = natural_order(distinct.to_list())
    return text.cast(pl.Enum(ids)).to_physical().cast(pl.Int32).to_numpy(), ids


def natural_order(ids: list[str]) -> list[str]:
    """Numbers first, by value, then all other ids as text: the order says nothing about popularity or time."""
    return sorted(ids, key=_natural_key)


def parse_numbers(column: pl.Series, table: Table) -> pl.Series:
    """Finite numbers, Float64.

    Raises:
        UserError: a value is empty, not a number, NaN or infinite.
    """
    numbers = column.cast(pl.Float64, strict=False) if _castable(column) else _none_of(column)
    bad = numbers.is_null() | ~numbers.is_finite()
    if bad.any():
        raise _complaint(table, bad, column, "is not a number")
    return numbers


def parse_times(column: pl.Series, table: Table) -> pl.Series:
    """Event times: Int64 where all are whole numbers, Float64 otherwise; date-times become seconds since 1970, UTC.

    The first value decides whether the column holds numbers or date-times.

    Raises:
        UserError: a value is empty, or neither a finite number nor an ISO date-time.
    """
    if column.dtype in (pl.Date, pl.Datetime):
        return _seconds(column.cast(pl.Datetime("us")), column, table)
    if column.dtype == pl.String and column[0] is not None and column.head(1).cast(pl.Float64, strict=False)[0] is None:
        moments = [_date_times(column, form) for form in DATE_TIME_FORMATS]
        return _seconds(pl.select(pl.coalesce(moments)).to_series(), column, table)
    whole = column.cast(pl.Int64, strict=False) if column.dtype == pl.String or column.dtype.is_integer() else None
    return whole if whole is not None and not whole.has_nulls() else parse_numbers(column, table)


def parse_titles(column: pl.Series, table: Table) -> pl.Series:
    """Titles with runs of white space made one blank; null where there is none."""
    text = _as_text(column, table).str.replace_all(r"\s+", " ").str.strip_chars()
    return text.replace("", None)


def parse_parts(column: pl.Series, table: Table) -> NDArray[np.int8]:
    """Parts of the split, as indices into :data:`recdistill.data.splits.PARTS`: int8 (rows,).

    Raises:
        UserError: a value is none of :data:`PART_NAMES`.
    """
    parts = _as_text(column, table).replace_strict(PART_NAMES, default=None, return_dtype=pl.Int8)
    if parts.has_nulls():
        raise _complaint(table, parts.is_null(), column, f"is none of {', '.join(PART_NAMES)}")
    return parts.to_numpy()


def _date_times(column: pl.Series, form: str) -> pl.Series:
    """Moments without a zone, in UTC, where a value has this form; null elsewhere."""
    zone = "UTC" if form.endswith("z") else None
    moments = column.str.to_datetime(form, strict=False, time_unit="us", time_zone=zone)
    return moments.dt.replace_time_zone(None) if zone else moments


def _seconds(moments: pl.Series, column: pl.Series, table: Table) -> pl.Series:
    if moments.has_nulls():
        raise _complaint(table, moments.is_null(), column, "is neither a number nor an ISO date-time")
    micro = moments.cast(pl.Int64)
    return micro // MICROSECONDS if (micro % MICROSECONDS == 0).all() else micro / MICROSECONDS


def _as_text(column: pl.Series, table: Table) -> pl.Series:
    """Text; whole numbers without a point also where a tool has made floats of them, as pandas does beside gaps."""
    if column.dtype.is_float():
        finite = column.filter(column.is_finite())
        if (finite == finite.round()).all():
            column = column.cast(pl.Int64, strict=False)
    try:
        return column.cast(pl.String)
    except PolarsError as error:
        raise UserError(f"{table.path}: column {column.name!r} holds {column.dtype}, not text or numbers") from error


def _castable(column: pl.Series) -> bool:
    return column.dtype == pl.String or column.dtype.is_numeric()


def _none_of(column: pl.Series) -> pl.Series:
    return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)


def _natural_key(text: str) -> tuple[bool, int, str, str]:
    if not (text.isascii() and text.isdigit()):
        return True, 0, text, text
    digits = text.lstrip("0")
    return False, len(digits), digits, text


def _complaint(table: Table, bad: pl.Series, column: pl.Series, rule: str) -> UserError:
    """The error for the first bad value."""
    row = int(bad.arg_true()[0])
    value = column[row]
    problem = "the value is empty" if value in (None, "") else f"{value!r} {rule}"
    return UserError(f"{table.place(row)}: {column.name}: {problem}")
