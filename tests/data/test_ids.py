"""Which ids are one, which are refused, and which stay apart."""

from pathlib import Path

import polars as pl
import pytest

from recdistill.data.id_forms import loose_form
from recdistill.data.ids import whole_forms
from recdistill.data.values import parse_ids
from recdistill.errors import UserError
from recdistill.tables.tables import ParquetTable

TABLE = ParquetTable(Path("events"), ("c",))


def read(values: list[object], dtype: pl.DataType | type[pl.DataType] | None = None) -> list[str]:
    codes, ids = parse_ids(pl.Series("c", values, dtype=dtype), TABLE)
    return [ids[code] for code in codes]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # How floats write whole numbers: pandas, numpy, decimals with scale, R, Python, Spark, C#.
        (["7.0", "10.0"], ["7", "10"]),
        (["7", "7.0", "7.00"], ["7", "7", "7"]),
        (["7.", "8."], ["7", "8"]),
        (["7.00", "8.00"], ["7", "8"]),
        (["1e+05", "123456"], ["100000", "123456"]),
        (["1.5e+10", "3.0"], ["15000000000", "3"]),
        (["1.2345678E7", "2.0"], ["12345678", "2"]),
        (["1E+05", "2"], ["100000", "2"]),
        (["-1.0", "-0.0"], ["-1", "0"]),
        (["A12", "1001.0"], ["A12", "1001"]),
        (["4503599627370496.0"], ["4503599627370496"]),
        # One value with a fraction, and the column holds codes: nothing is made of them.
        (["250.0", "250.00", "250.1"], ["250.0", "250.00", "250.1"]),
        (["1.0", "1.10", "2"], ["1.0", "1.10", "2"]),
        (["1e-05", "3.0"], ["1e-05", "3.0"]),
        # Text, and stays so.
        (["007", "7"], ["007", "7"]),
        (["007.0", "7"], ["007.0", "7"]),
        (["7e0", "1E5", "12E3"], ["7e0", "1E5", "12E3"]),
        (["GM-02560-A", "gm-02560-a"], ["GM-02560-A", "gm-02560-a"]),
        (["7 ", " 7", "7"], ["7 ", " 7", "7"]),
        (["1.2.0", "v1.0", "$7.0", "7,0"], ["1.2.0", "v1.0", "$7.0", "7,0"]),
        (["0x1F", "1_000", "٣.٠"], ["0x1F", "1_000", "٣.٠"]),
        (["76561197970982479", "76561197970982480"], ["76561197970982479", "76561197970982480"]),
        (["naN1", "none of these", "Nonesuch"], ["naN1", "none of these", "Nonesuch"]),
    ],
)
def test_ids_of_a_text_file(written: list[object], meant: list[str]) -> None:
    assert read(written) == meant


@pytest.mark.parametrize(
    ("values", "dtype", "meant"),
    [
        ([7, 10], pl.Int64, ["7", "10"]),
        ([2**64 - 1, 7], pl.UInt64, ["18446744073709551615", "7"]),
        ([76561197970982479], pl.Int64, ["76561197970982479"]),
        ([7.0, 10.0], pl.Float64, ["7", "10"]),
        ([7.0, 10.5], pl.Float64, ["7.0", "10.5"]),
        ([16777215.0], pl.Float32, ["16777215"]),
        ([float(2**53 - 1)], pl.Float64, ["9007199254740991"]),
        (["A", "A"], pl.Categorical, ["A", "A"]),
    ],
)
def test_ids_of_a_parquet_file(values: list[object], dtype: type[pl.DataType], meant: list[str]) -> None:
    assert read(values, dtype) == meant


@pytest.mark.parametrize(
    ("written", "scale", "meant"),
    [
        (["7", "10"], 0, ["7", "10"]),
        (["7.00", "10.00"], 2, ["7", "10"]),
        (["7.00", "7.50"], 2, ["7.00", "7.50"]),
        (["76561197970982479.00"], 2, ["76561197970982479"]),
    ],
)
def test_ids_of_a_decimal_column(written: list[str], scale: int, meant: list[str]) -> None:
    column = pl.Series("c", written).cast(pl.Decimal(30, scale))
    codes, ids = parse_ids(column, TABLE)
    assert [ids[code] for code in codes] == meant


@pytest.mark.parametrize(
    ("values", "dtype", "named"),
    [
        ([7.656119797098248e16, 1.0], pl.Float64, "7.656119797098248e+16' came through floats"),
        ([float(2**53)], pl.Float64, "9007199254740992.0' came through floats"),
        ([-float(2**53), 0.5], pl.Float64, "-9007199254740992.0' came through floats"),
        ([16777216.0], pl.Float32, "16777216.0' came through floats"),
        (["7.656119797098248e+16", "1"], None, "'7.656119797098248e+16' came through floats"),
        (["7.656119797098248E16"], None, "'7.656119797098248E16' came through floats"),
        (["76561197970982480.0"], None, "'76561197970982480.0' came through floats"),
        (["4.00638E+12", "x"], None, "'4.00638E+12' has been cut to six digits"),
        (["4,00638E+12"], None, "'4,00638E+12' has been cut to six digits"),
        (["1.23457e+11"], None, "'1.23457e+11' has been cut to six digits"),
        (["1e+999999"], None, "'1e+999999' came through floats"),
    ],
)
def test_ids_that_may_have_become_one_are_refused(
    values: list[object], dtype: type[pl.DataType] | None, named: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(values, dtype)
    said = str(caught.value)
    assert said.startswith("events: c: '")
    assert named in said
    assert "several ids may have become one; write the column as whole numbers or text" in said


@pytest.mark.parametrize("lost", ["nan", "None", "NULL", "null", "<NA>", "NaT", "\\N", "#N/A"])
def test_ids_that_a_tool_has_lost_are_named(lost: str) -> None:
    with pytest.raises(UserError, match=r"^events: row 2: c: '.*' is not an id$"):
        read(["1", lost])


def test_numbers_read_as_whole_and_ids_in_two_forms_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "recdistill")
    assert read(["8.0", "7", "7.0", "9"]) == ["8", "7", "7", "9"]
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("events: c: whole numbers that a float wrote are read as such (")
    assert caplog.messages[1] == "events: c: forms of one id are one: 1 fewer ids, such as 7 and 7.0"
    caplog.clear()
    read(["7", "007", "a"])
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "007"),
        ("7", "7.0"),
        ("7", "7,00"),
        ("0", "000"),
        ("GM-1", "gm-1"),
        ("7", " 7 "),
        ("7", "'7"),
        ("a", '"A"'),
        ("７", "7"),
    ],
)
def test_forms_of_one_id(one: str, other: str) -> None:
    assert loose_form(one) == loose_form(other)


@pytest.mark.parametrize(("one", "other"), [("7", "70"), ("7", "7.5"), ("GM-1", "GM1"), ("a", "b"), ("A07", "A7")])
def test_other_ids_have_another_form(one: str, other: str) -> None:
    assert loose_form(one) != loose_form(other)


def test_an_exponent_without_end_is_text() -> None:
    """A number that no tool writes, and that no decimal holds."""
    assert whole_forms(pl.Series(["1e+9999999999999999999999", "7.0"])) == {"7.0": "7"}
