import logging
import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.values import (
    BadValueError,
    bad_values,
    natural_order,
    parse_ids,
    parse_numbers,
    parse_times,
    parse_titles,
)
from recdistill.errors import UserError
from recdistill.tables.tables import ParquetTable

TABLE = ParquetTable(Path("events"), ("c",))


def test_natural_order_is_by_value_for_numbers_then_by_text() -> None:
    assert natural_order(["b", "10", "a", "9", "09", "0", "a10", "a9"]) == ["0", "09", "9", "10", "a", "a10", "a9", "b"]


@given(st.lists(st.text(alphabet="012ab٣²", min_size=1), unique=True))
def test_natural_order_does_not_depend_on_the_order_before(ids: list[str]) -> None:
    ordered = natural_order(ids)
    assert sorted(ids) == sorted(ordered)
    assert natural_order(ids[::-1]) == ordered


def test_ids_are_text_whatever_their_type() -> None:
    for values in (["10", "9", "10"], [10, 9, 10]):
        codes, ids = parse_ids(pl.Series("c", values), TABLE)
        assert ids == ["9", "10"]
        assert codes.tolist() == [1, 0, 1]
        assert codes.dtype == "int32"


UUIDS = [uuid.UUID(int=number) for number in (2**127 + 3, 7, 2**100)]


@pytest.mark.parametrize("missing", [False, True])
def test_sixteen_bytes_that_are_no_text_are_uuids(missing: bool, caplog: pytest.LogCaptureFixture) -> None:
    column = pl.Series("c", [one.bytes for one in UUIDS] + [None] * missing, dtype=pl.Binary)
    if missing:
        with pytest.raises(BadValueError, match="row 4: c: the value is empty"):
            parse_ids(column, TABLE)
        assert bad_values({"c": column}, {"c": "id"}, TABLE)[0].tolist() == [False, False, False, True]
        return
    with caplog.at_level(logging.INFO, logger="recdistill"):
        codes, ids = parse_ids(column, TABLE)
    assert [ids[code] for code in codes] == [str(one) for one in UUIDS]
    assert f"events: column 'c' holds UUIDs, such as {UUIDS[0]}" in caplog.text
    small = [uuid.UUID(int=number).bytes for number in (5, 6)]  # Of these all bytes are ASCII.
    assert parse_ids(pl.Series("c", small), TABLE)[1] == [f"{0:08}-0000-0000-0000-{number:012}" for number in (5, 6)]


def test_sixteen_bytes_of_text_are_text() -> None:
    texts = ["sixteen letters.", "ゲームａ b12", "0123456789abcdef"]
    column = pl.Series("c", [text.encode() for text in texts])
    codes, ids = parse_ids(column, TABLE)
    assert [ids[code] for code in codes] == texts


@pytest.mark.parametrize("missing", [[], [None]])
def test_other_bytes_are_refused_in_one_line(missing: list[None]) -> None:
    column = pl.Series("c", [b"\xff\x00a", b"ab", *missing], dtype=pl.Binary)
    reads: list[Callable[[], object]] = [
        lambda: parse_ids(column, TABLE),
        lambda: parse_times(column, TABLE),
        lambda: parse_numbers(column, TABLE),
        lambda: parse_titles(column, TABLE),
        lambda: bad_values({"c": column}, {"c": "id"}, TABLE),
    ]
    for read in reads:
        with pytest.raises(UserError, match=r"^events: column 'c' holds bytes, not text or numbers$"):
            read()


def test_ids_that_look_alike_are_different() -> None:
    assert parse_ids(pl.Series("c", ["7", "07", "7 ", "a", "A"]), TABLE)[1] == ["07", "7", "7 ", "A", "a"]


def test_whole_numbers_stay_exact_and_fractions_are_kept() -> None:
    large = 2**60 + 1
    assert parse_times(pl.Series("c", [str(large), "-5"]), TABLE).to_list() == [large, -5]
    assert parse_times(pl.Series("c", ["1", "2.5", "1e3"]), TABLE).to_list() == [1.0, 2.5, 1000.0]
    assert parse_times(pl.Series("c", [1.5, 2.0]), TABLE).to_list() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86400),
        ("1970-01-01 00:01", 60),
        ("1970-01-01 00:00:05", 5),
        ("1970-01-01T00:00:05", 5),
        ("1970-01-01T00:00:05Z", 5),
        ("1970-01-01T09:00:05+09:00", 5),
        ("1970-01-01 09:00:05+0900", 5),
        ("1970-01-01T00:00:05.25Z", 5.25),
        ("1969-12-31T23:59:59", -1),
    ],
)
def test_date_times_become_seconds(text: str, seconds: float) -> None:
    assert parse_times(pl.Series("c", [text]), TABLE).to_list() == [seconds]


def test_date_times_of_several_forms_and_of_parquet_types() -> None:
    assert parse_times(pl.Series("c", ["1970-01-02", "1970-01-01T00:00:01Z"]), TABLE).to_list() == [86400, 1]
    utc = pl.Series("c", [86_400_000]).cast(pl.Datetime("ms"))
    assert parse_times(utc, TABLE).to_list() == [86400]
    assert parse_times(utc.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"), TABLE).to_list() == [86400]
    assert parse_times(pl.Series("c", [1]).cast(pl.Date), TABLE).to_list() == [86400]


@pytest.mark.parametrize("nothing", [None, ""])
def test_empty_values(nothing: str | None) -> None:
    column = pl.Series("c", ["1", nothing], dtype=pl.String)
    for parse in (parse_ids, parse_times, parse_numbers):
        with pytest.raises(UserError, match=r"^events: row 2: c: the value is empty$"):
            parse(column, TABLE)


@pytest.mark.parametrize("first", ["1", "1.5", "2020-01-01"])
@pytest.mark.parametrize("bad", ["abc", "nan", "NaN", "inf", "-inf", "12:00", "2020-13-01", "1,2,3"])
def test_bad_times(first: str, bad: str) -> None:
    rule = "is not a number" if first.startswith("1") else "is neither a number nor an ISO date-time"
    with pytest.raises(UserError, match=f"^events: row 3: c: '{bad}' {rule}$"):
        parse_times(pl.Series("c", [first, first, bad, "1", "x"]), TABLE)


def test_bad_values_of_parquet_types() -> None:
    with pytest.raises(UserError, match="row 2: c: nan is not a number"):
        parse_times(pl.Series("c", [1.0, float("nan")]), TABLE)
    with pytest.raises(UserError, match="row 2: c: the value is empty"):
        parse_times(pl.Series("c", [1, None]).cast(pl.Date), TABLE)
    with pytest.raises(UserError, match="events: column 'c' holds Boolean, not numbers"):
        parse_numbers(pl.Series("c", [True]), TABLE)
    with pytest.raises(UserError, match="'c' holds List"):
        parse_ids(pl.Series("c", [[1]]), TABLE)


def test_titles_lose_extra_white_space_and_nothing_else() -> None:
    assert parse_titles(pl.Series("c", ["  Toy \n Story\t", " ", None, "あ"]), TABLE).to_list() == [
        "Toy Story",
        None,
        None,
        "あ",
    ]
