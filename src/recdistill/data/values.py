"""From the values in a file to ids, times and numbers, or to an error that says which value is wrong and where."""

import logging
from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recdistill.data.ids import Merged, whole_forms, whole_numbers
from recdistill.data.prepared import IntArray
from recdistill.data.tables import Table
from recdistill.errors import UserError

logger = logging.getLogger("recdistill")

LOST = ("", "nan", "none", "null", "<na>", "nat", "\\n", "#n/a")
"""What an id looks like that some tool has lost, in small letters: empty, or how it writes that nothing is there."""

NO_TITLE = ("", "nan", "NaN", "NAN", "None", "NULL", "null", "<NA>", "NA", "N/A", "n/a", "#N/A", "NaT", "\\N")
"""How tools write that there is no title: a title that is letter by letter one of these is none."""

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

    Whole numbers are one id however a float has written them, see :mod:`recdistill.data.ids`; that is told.

    Raises:
        UserError: an id is empty or lost, the column holds neither text nor numbers, or its ids have come through
            floats that cannot tell them apart.
    """
    try:
        text = _as_text(column, table)
        distinct = text.unique()
        whole = whole_forms(distinct.drop_nulls()) if column.dtype == pl.String else {}
    except Merged as error:
        advice = "so that several ids may have become one; write the column as whole numbers or text"
        raise UserError(f"{table.path}: {column.name}: {error}, {advice}") from error
    if distinct.null_count() or distinct.str.to_lowercase().is_in(LOST).any():
        lost = text.is_null() | text.str.to_lowercase().is_in(LOST)
        raise _complaint(table, lost, column, "is not an id")
    ids = natural_order(distinct.to_list())
    codes = text.cast(pl.Enum(ids)).to_physical().cast(pl.Int32).to_numpy()
    return (codes, ids) if not whole else _with_whole_numbers(codes, ids, whole, f"{table.path}: {column.name}")


def _with_whole_numbers(
    codes: IntArray, ids: list[str], whole: dict[str, str], place: str
) -> tuple[IntArray, list[str]]:
    """The same with ids that floats have written as the whole numbers they mean."""
    meant = [whole.get(item_id, item_id) for item_id in ids]
    found = natural_order(list(set(meant)))
    written = next(iter(whole))
    logger.info("%s: whole numbers that a float wrote are read as such (%s as %s)", place, written, whole[written])
    if len(found) < len(ids):
        twice = Counter(meant).most_common(1)[0][0]
        forms = " and ".join(text for text, number in zip(ids, meant, strict=True) if number == twice)
        logger.info("%s: forms of one id are one: %d fewer ids, such as %s", place, len(ids) - len(found), forms)
    number = {item_id: index for index, item_id in enumerate(found)}
    return np.array([number[item_id] for item_id in meant], dtype=np.int32)[codes], found


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
    """Titles with runs of white space made one blank; null where there is none (:data:`NO_TITLE`)."""
    text = _as_text(column, table).str.replace_all(r"\s+", " ").str.strip_chars()
    return text.set(text.is_in(NO_TITLE), None)


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
    if column.dtype.is_float() or column.dtype.is_decimal():
        column = whole_numbers(column)
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
