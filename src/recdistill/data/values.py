"""From the values in a file to ids, times and numbers, or to an error that says which value is wrong and where."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recdistill.data.ids import Merged, whole_forms, whole_numbers
from recdistill.data.prepared import BoolArray, IntArray
from recdistill.data.times import seconds_of_moments, seconds_of_text
from recdistill.errors import UserError
from recdistill.tables.bad_rows import TOLD, BadRow, BadRows, shown
from recdistill.tables.tables import Table

logger = logging.getLogger("recdistill")

LOST = ("", "nan", "none", "null", "<na>", "nat", "\\n", "#n/a")
"""What an id looks like that some tool has lost, in small letters: empty, or how it writes that nothing is there."""

NO_TITLE = ("", "nan", "NaN", "NAN", "None", "NULL", "null", "<NA>", "NA", "N/A", "n/a", "#N/A", "NaT", "\\N")
"""How tools write that there is no title: a title that is letter by letter one of these is none."""

PART_NAMES = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}
"""What a column with the split may hold, and the index of that part in `recdistill.data.splits.PARTS`."""


NOT_AN_ID = "is not an id"
NOT_A_NUMBER = "is not a number"
NOT_A_TIME = "is neither a number nor an ISO date-time"
NOT_A_PART = f"is none of {', '.join(PART_NAMES)}"
"""What is said of bad values."""

OTHER_DECIMAL = re.compile(r"\s*-?\d+[.,]\d+\s*")
"""A number, unless it is the other decimal mark."""

UUID_BYTES = 16

SAMPLE = 100
"""First values by which a column of date-times is known."""


class BadValueError(UserError):
    """A value that makes its row unusable; other rows of the file may be good."""


def parse_ids(column: pl.Series, table: Table, as_written: bool = False) -> tuple[IntArray, list[str]]:
    """External ids as indices, int32, into the list of distinct ids in natural order (see :func:`natural_order`).

    Whole numbers are one id however a float has written them, see :mod:`recdistill.data.ids`; that is told. Where ids
    are taken `as_written`, `7.0` stays what it is. Bytes are text, or UUIDs (:func:`_with_uuids`).

    Raises:
        BadValueError: an id is empty or lost.
        UserError: the column holds neither text nor numbers, or its ids have come through floats that cannot tell them
            apart.
    """
    column = _with_uuids(column, table)
    try:
        text = _as_text(column, table, as_written)
        distinct = text.unique()
        whole = whole_forms(distinct.drop_nulls()) if column.dtype == pl.String else {}
        whole = {} if as_written else whole
    except Merged as error:
        advice = "so that several ids may have become one; write the column as whole numbers or text"
        raise UserError(f"{table.path}: {column.name}: {error}, {advice}") from error
    if distinct.null_count() or distinct.str.to_lowercase().is_in(LOST).any():
        raise _complaint(table, _lost(text), column, NOT_AN_ID)
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
    text = pl.col("id")
    is_number = text.str.contains(r"^[0-9]+$")
    digits = pl.when(is_number).then(text.str.strip_chars_start("0"))
    keys = [~is_number, digits.str.len_bytes(), digits, text]  # text sorts by bytes, which is by code points
    return pl.DataFrame({"id": ids}, schema={"id": pl.String}).sort(keys)["id"].to_list()


def parse_numbers(column: pl.Series, table: Table) -> pl.Series:
    """Finite numbers, Float64.

    Raises:
        BadValueError: a value is empty, not a number, NaN or infinite.
    """
    return _complete(numbers_of(column, table), column, table, NOT_A_NUMBER)


def parse_times(column: pl.Series, table: Table) -> pl.Series:
    """Event times: Int64 where all are whole numbers, Float64 otherwise; date-times become seconds since 1970, UTC.

    Whether the column holds numbers or date-times is what more of its values are.

    Raises:
        BadValueError: a value is empty, or neither a finite number nor an ISO date-time.
        UserError: the column holds neither numbers nor text nor moments.
    """
    times, rule = times_of(column, table)
    return _complete(times, column, table, rule)


def parse_titles(column: pl.Series, table: Table) -> pl.Series:
    """Titles with runs of white space made one blank; null where there is none (:data:`NO_TITLE`)."""
    text = _as_text(column, table).str.replace_all(r"\s+", " ").str.strip_chars()
    return text.set(text.is_in(NO_TITLE), None)


def parse_parts(column: pl.Series, table: Table) -> NDArray[np.int8]:
    """Parts of the split, as indices into :data:`recdistill.data.splits.PARTS`: int8 (rows,).

    Raises:
        BadValueError: a value is none of :data:`PART_NAMES`.
    """
    return _complete(_parts(column, table), column, table, NOT_A_PART).to_numpy()


def bad_values(columns: Mapping[str, pl.Series], roles: Mapping[str, str], table: Table) -> tuple[BoolArray, BadRows]:
    """All rows with a value that the functions above complain about.

    Args:
        columns: name → values, of one length.
        roles: name → what the column holds: `id`, `number`, `time` or `part`.
        table: where they come from.

    Returns:
        A mask of the bad rows, and the rows; of a row with several bad values the first is told.
    """
    bad = np.zeros(len(next(iter(columns.values()))), dtype=np.bool_)
    problems: dict[int, str] = {}
    for name, role in roles.items():
        column = columns[name]
        wrong, rule = _wrong(column, role, table)
        for row in wrong.arg_true().head(TOLD).to_list():
            problems.setdefault(row, _problem(column, row, rule))
        bad |= wrong.to_numpy()
    first = np.flatnonzero(bad)[:TOLD].tolist()
    rows = BadRows(str(table.path))
    places = table.places(first)
    told = [BadRow(place, problems[row]) for place, row in zip(places, first, strict=True)]
    rows.add(told, int(np.count_nonzero(bad)))
    return bad, rows


def _wrong(column: pl.Series, role: str, table: Table) -> tuple[pl.Series, str]:
    """Mask of the bad values of a column, and what they are not."""
    if role == "id":
        column = _with_uuids(column, table)
        empty = column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()
        plain = _plain(column, table)
        return _lost(plain) if plain.dtype == pl.String else empty, NOT_AN_ID
    if role == "number":
        return numbers_of(column, table).is_null(), NOT_A_NUMBER
    if role == "part":
        return _parts(column, table).is_null(), NOT_A_PART
    times, rule = times_of(column, table)
    return times.is_null(), rule


def _lost(text: pl.Series) -> pl.Series:
    """Mask of what is no id: see :data:`LOST`."""
    return text.is_null() | text.str.to_lowercase().is_in(LOST)


def numbers_of(column: pl.Series, table: Table) -> pl.Series:
    """Float64; null where a value is no finite number."""
    column = _plain(column, table)
    if column.dtype == pl.String:
        text = column.str.replace(".", "x", literal=True).str.replace(",", ".", literal=True)
        column = text if table.decimal == "," else column
        numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() > column.null_count():
            numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    else:
        _require(column.dtype.is_numeric() or column.dtype == pl.Null, column, table, "numbers")
        numbers = column.cast(pl.Float64, strict=False)
    finite = numbers.is_finite()
    return numbers if finite.all() else numbers.zip_with(finite.fill_null(value=False), _nothing(len(numbers)))


def times_of(column: pl.Series, table: Table) -> tuple[pl.Series, str]:
    """Int64 or Float64, null where a value is bad, and what a bad value is not."""
    column = _plain(column, table)
    if column.dtype in (pl.Date, pl.Datetime):
        return seconds_of_moments(column), NOT_A_TIME
    if column.dtype == pl.String or column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        if not whole.has_nulls():
            return whole, NOT_A_NUMBER
    _require(column.dtype in (pl.String, pl.Null) or column.dtype.is_numeric(), column, table, "numbers or date-times")
    # A file whose first value is a date-time holds no numbers, most likely: they are not looked for in vain.
    head = numbers_of(column.head(SAMPLE), table)
    numbers = numbers_of(column, table) if not _is_all_null(head) else _nothing(len(column))
    if column.dtype != pl.String or not numbers.has_nulls():
        return numbers, NOT_A_NUMBER
    moments = seconds_of_text(column)
    if moments.null_count() < numbers.null_count():
        return moments, NOT_A_TIME
    rule = NOT_A_TIME if _is_all_null(numbers) else NOT_A_NUMBER
    return numbers, rule


def _parts(column: pl.Series, table: Table) -> pl.Series:
    """Int8; null where a value is none of :data:`PART_NAMES`."""
    return _as_text(column, table).replace_strict(PART_NAMES, default=None, return_dtype=pl.Int8)


def _plain(column: pl.Series, table: Table) -> pl.Series:
    """Text for dictionaries and for bytes that are text, as some tools write text to Parquet.

    Raises:
        UserError: the bytes are no text.
    """
    text = column.dtype in (pl.Categorical, pl.Enum, pl.Binary)
    return _as_text(column, table) if text else column


def _require(condition: bool, column: pl.Series, table: Table, wanted: str) -> None:
    if not condition:
        raise UserError(f"{table.path}: column {column.name!r} holds {column.dtype}, not {wanted}")


def _nothing(length: int) -> pl.Series:
    return pl.Series([None], dtype=pl.Float64).new_from_index(0, length)


def _is_all_null(column: pl.Series) -> bool:
    return column.null_count() == len(column)


def _as_text(column: pl.Series, table: Table, as_written: bool = False) -> pl.Series:
    """Text; whole numbers without a point also where a tool has made floats of them, as pandas does beside gaps."""
    if column.dtype.is_float() or column.dtype.is_decimal():
        whole = whole_numbers(column)
        column = column if as_written else whole
    _require(not column.dtype.is_nested(), column, table, "text or numbers")
    try:
        return column.cast(pl.String)
    except PolarsError as error:
        what = "bytes" if column.dtype == pl.Binary else column.dtype
        raise UserError(f"{table.path}: column {column.name!r} holds {what}, not text or numbers") from error


def _with_uuids(column: pl.Series, table: Table) -> pl.Series:
    """Bytes that are no text, sixteen in each value, as UUIDs are written: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.

    So Parquet stores UUIDs, and polars does not tell that the file calls them so (2.1.0). The whole column decides.
    """
    if column.dtype != pl.Binary or not (column.bin.size() == UUID_BYTES).all() or _is_all_null(column):
        return column
    try:
        if not column.cast(pl.String).str.contains(r"[\x00-\x1f]").any():
            return column
    except PolarsError:
        pass  # no text
    digits = column.bin.encode("hex")
    ends = (0, 8, 12, 16, 20, 32)
    parts = [digits.str.slice(start, end - start).alias(str(start)) for start, end in pairwise(ends)]
    found = pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator="-")).to_series().alias(column.name)
    logger.info("%s: column %r holds UUIDs, such as %s", table.path, column.name, found.drop_nulls()[0])
    return found


def _complete(values: pl.Series, column: pl.Series, table: Table, rule: str) -> pl.Series:
    """The values, if none is null."""
    if values.has_nulls():
        raise _complaint(table, values.is_null(), column, rule)
    return values


def _complaint(table: Table, bad: pl.Series, column: pl.Series, rule: str) -> BadValueError:
    """The error for the first bad value."""
    row = int(bad.arg_true()[0])
    return BadValueError(f"{table.places([row])[0]}: {_problem(column, row, rule)}")


def _problem(column: pl.Series, row: int, rule: str) -> str:
    value = column[row]
    if rule != NOT_AN_ID and isinstance(value, str) and OTHER_DECIMAL.fullmatch(value):
        rule += " (data.decimal?)"
    return f"{column.name}: " + ("the value is empty" if value in (None, "") else f"{shown(value)} {rule}")
