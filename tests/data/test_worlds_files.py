"""Files as the world's programs write them: what is read of each, or the one line that says what is wrong.

Each row of the tables below is a small input, made here as the named program writes it, and what must come of it.
"""

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import pytest

from recdistill.config import ColumnsConfig, DataConfig, ItemsFormConfig
from recdistill.data.sources import open_source
from recdistill.errors import UserError

Event = tuple[str, str, float]

TWO: list[Event] = [("u1", "i1", 5), ("u2", "i2", 6)]
HEAD = "user_id,item_id,timestamp\n"
PLAIN = HEAD + "u1,i1,5\nu2,i2,6\n"
NO_TIME = "is neither a number nor an ISO date-time"
NOON = 1606394460  # 2020-11-26 12:41 UTC
NO_NAMES: tuple[str, ...] = ("user_id", "item_id", "timestamp")


class Case(NamedTuple):
    """A file of interactions, what `data` says about it, and the events or the complaint (its name left out)."""

    content: str | bytes
    right: list[Event] | str
    settings: Mapping[str, Any] = MappingProxyType({})
    name: str = "e.csv"


def with_times(*times: str, quote: str = "") -> str:
    rows = "".join(f"u{n},i{n},{quote}{time}{quote}\n" for n, time in enumerate(times, start=1))
    return f"user_id,item_id,timestamp\n{rows}"


def at(*seconds: float) -> list[Event]:
    return [(f"u{n}", f"i{n}", second) for n, second in enumerate(seconds, start=1)]


def zstandard(text: str) -> bytes:
    """By polars, as its `write_csv(compression="zstd")` does."""
    raw = b"\x28\xb5\x2f\xfd\x20"  # magic, one segment with its size in one byte
    body = text.encode()
    assert len(body) < 256
    header = (len(body) << 3 | 1).to_bytes(3, "little")  # the last block, stored as it is
    return raw + bytes([len(body)]) + header + body


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


def sqlite(folder: Path) -> bytes:
    connection = sqlite3.connect(folder / "made.db")
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    return (folder / "made.db").read_bytes()


def parquet_bytes(**columns: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


TEXT = {
    # Line ends, byte order marks, empty lines
    "LF": Case(PLAIN, TWO),
    "CR LF (Excel, csv.writer, SQL Server)": Case(PLAIN.replace("\n", "\r\n"), TWO),
    "CR (old Macs)": Case(PLAIN.replace("\n", "\r"), TWO),
    "CR CR LF (written twice through Windows)": Case(PLAIN.replace("\n", "\r\r\n"), TWO),
    "no line end at the end": Case(PLAIN.rstrip("\n"), TWO),
    "byte order mark (Excel's CSV UTF-8)": Case(b"\xef\xbb\xbf" + PLAIN.encode(), TWO),
    "empty lines at the top": Case("\n\n" + PLAIN, TWO),
    "empty lines between and behind": Case("user_id,item_id,timestamp\n\nu1,i1,5\n\n\nu2,i2,6\n\n\n", TWO),
    "lines of separators (Excel's deleted rows)": Case(PLAIN + ",,\n,,\n", TWO),
    "sep= in the first line (Excel)": Case("sep=;\n" + PLAIN.replace(",", ";"), TWO, {"separator": ";"}),
    "line ends in a name (Excel's cells)": Case('user_id,item_id,timestamp,"rating\n1 to 5"\nu1,i1,5,3\n', TWO[:1]),
    # Separators
    "semicolons (Excel in much of Europe)": Case(PLAIN.replace(",", ";"), TWO, {"separator": ";"}),
    "tabs, as tab": Case(PLAIN.replace(",", "\t"), TWO, {"separator": "tab"}, "e.tsv"),
    "tabs, as backslash t": Case(PLAIN.replace(",", "\t"), TWO, {"separator": "\\t"}, "e.tsv"),
    "bars": Case(PLAIN.replace(",", "|"), TWO, {"separator": "|"}),
    "blanks (R's write.table without row names)": Case(PLAIN.replace(",", " "), TWO, {"separator": " "}),
    "two characters": Case(PLAIN.replace(",", "::"), TWO, {"separator": "::"}),
    "a separator that is no ASCII": Case(PLAIN.replace(",", "§"), TWO, {"separator": "§"}),
    "a separator at each line's end": Case(PLAIN.replace("\n", ",\n"), TWO),
    "separators at the rows' ends only": Case("user_id,item_id,timestamp\nu1,i1,5,\nu2,i2,6,,\n", TWO),
    "the wrong separator": Case(
        PLAIN.replace(",", ";"),
        ": no column 'user_id'; it has 'user_id;item_id;timestamp'; the separator seems to be ';' (data.separator)",
    ),
    "tabs for commas": Case(
        PLAIN.replace(",", "\t"),
        ": no column 'user_id'; it has 'user_id\\titem_id\\ttimestamp'; the separator seems to be tab (data.separator)",
    ),
    # Quotes
    "everything quoted (R's write.csv, QUOTE_ALL)": Case(
        '"","user_id","item_id","timestamp"\n"1","u1","i1",5\n"2","u2","i2",6\n', TWO
    ),
    "an index in front (pandas.to_csv)": Case(",user_id,item_id,timestamp\n0,u1,i1,5\n1,u2,i2,6\n", TWO),
    "a separator within quotes": Case(HEAD + '"u,1",i1,5\n', [("u,1", "i1", 5)]),
    "a doubled quote": Case(HEAD + '"u""1",i1,5\n', [('u"1', "i1", 5)]),
    "a line end within quotes": Case(HEAD + '"u\n1",i1,5\nu2,i2,6\n', [("u\n1", "i1", 5), TWO[1]]),
    "an inch mark at a value's end": Case(HEAD + 'u1,TV 32",5\nu2,i2,6\n', [("u1", 'TV 32"', 5), TWO[1]]),
    "inch marks in two rows": Case(HEAD + 'u1,TV 32",5\nu2,TV 40",6\n', [("u1", 'TV 32"', 5), ("u2", 'TV 40"', 6)]),
    "an inch mark beside good quotes": Case(
        HEAD + 'u1,TV 32",5\n"u,2","i""2",6\n', [("u1", 'TV 32"', 5), ("u,2", 'i"2', 6)]
    ),
    "text behind a closing quote": Case(HEAD + 'u1,"Weird Al" Yankovic,5\n', [("u1", "Weird Al Yankovic", 5)]),
    "quote none": Case(HEAD + 'u1,"i1",5\nu2,"open,6\n', [("u1", '"i1"', 5), ("u2", '"open', 6)], {"quote": "none"}),
    "single quotes": Case("user_id,item_id,timestamp\nu1,'i,1',5\n", [("u1", "i,1", 5)], {"quote": "'"}),
    "a backslash before a quote (Spark, MySQL)": Case(
        HEAD + 'u1,"TV 32\\"",5\nu2,i2,6\n', [("u1", 'TV 32"', 5), TWO[1]], {"escape": "\\"}
    ),
    "an open quote": Case(
        HEAD + 'u1,i1,5\nu2,"i2,6\nu3,i3,7\n',
        ':3: a quote (") is opened here and not closed where a value ends',
    ),
    "an open quote that a later one closes": Case(
        HEAD + 'u1,"i1,5\nu2,i2,6\nu3,"i3",7\n', ':2: a quote (") is opened here and not closed'
    ),
    # Headers and ragged rows
    "no header (MySQL, Postgres, Spark)": Case("u1,i1,5\nu2,i2,6\n", TWO, {"names": NO_NAMES}),
    "no header, tabs (mysql --batch -N, COPY)": Case(
        "u1\ti1\t5\nu2\ti2\t6\n", TWO, {"names": NO_NAMES, "separator": "tab", "quote": "none"}
    ),
    "no header, and nothing said about it": Case("u1,i1,5\nu2,i2,6\n", ": no column 'user_id'; it has 'u1', 'i1', '5'"),
    "no header, a short row": Case("u1,i1,5\nu2,i2\n", ":2: 2 values for 3 columns", {"names": NO_NAMES}),
    "other columns, in another order": Case("x,timestamp,item_id,y,user_id\n1,5,i1,2,u1\n1,6,i2,2,u2\n", TWO),
    "two columns of one name": Case("user_id,user_id,timestamp\n1,2,3\n", ":1: two columns are called 'user_id'"),
    "the header again (files put together)": Case(PLAIN + PLAIN, ":4: timestamp: 'timestamp' is not a number"),
    "the header again, left out": Case(PLAIN + PLAIN, TWO + TWO, {"bad_rows": "skip"}),
    "a comment above the header": Case("# exported\n" + PLAIN, ": no column 'user_id'; it has '# exported'"),
    "a comment below": Case(PLAIN + "# 2 rows\n", ":4: item_id: the value is empty"),
    "a total below (spreadsheets)": Case(PLAIN + "Total,,11\n", ":4: item_id: the value is empty"),
    "a row too long": Case(PLAIN + "u3,i3,7,8\n", ":4: 4 values for 3 columns"),
    "a row too long, left out": Case(PLAIN + "u3,i3,7,8\nu4,i4,8\n", [*TWO, ("u4", "i4", 8)], {"bad_rows": "skip"}),
    "row names that the header does not name (R's write.table)": Case(
        'user_id item_id timestamp\n"1" u1 i1 5\n"2" u2 i2 6\n',
        ": 2 bad rows (data.bad_rows skip leaves them out): 2: 4 values for 3 columns; 3: 4 values for 3 columns",
        {"separator": " "},
    ),
    "a header alone": Case("user_id,item_id,timestamp\n", ": no rows below the header"),
    "nothing": Case("", ": the file is empty"),
    # Numbers
    "decimal commas": Case(
        "user_id;item_id;timestamp\nu1;i1;5,5\nu2;i2;6\n",
        [("u1", "i1", 5.5), TWO[1]],
        {"separator": ";", "decimal": ","},
    ),
    "decimal commas, and nothing said": Case(
        "user_id;item_id;timestamp\nu1;i1;5,5\n", f":2: timestamp: '5,5' {NO_TIME} (data.decimal?)", {"separator": ";"}
    ),
    "a point where commas are said": Case(
        "user_id;item_id;timestamp\nu1;i1;5.500\n",
        f":2: timestamp: '5.500' {NO_TIME} (data.decimal?)",
        {"separator": ";", "decimal": ","},
    ),
    "thousands": Case(HEAD + 'u1,i1,"1,500"\n', f":2: timestamp: '1,500' {NO_TIME} (data.decimal?)"),
    "exponents (Excel, R)": Case(with_times("1.6E+09", "1.6e9"), at(1.6e9, 1.6e9)),
    "blanks around numbers (fixed width)": Case(with_times(" 5", "  6 "), at(5, 6)),
    "floats (pandas beside gaps)": Case(with_times("5.0", "6.0"), at(5, 6)),
    "\\N for nothing (Postgres, Hive)": Case(with_times("5", "\\N"), ":3: timestamp: '\\\\N' is not a number"),
    "milliseconds": Case(with_times("1606394460000"), at(1606394460000)),
    # Times
    "ISO without seconds": Case(with_times("2020-11-26T12:41", quote='"'), at(NOON)),
    "ISO with seconds and fraction (Spark)": Case(with_times("2020-11-26T12:41:00.500Z"), at(NOON + 0.5)),
    "a blank between (pandas, R, MySQL)": Case(with_times("2020-11-26 12:41:00"), at(NOON)),
    "zone +00:00 (pandas)": Case(with_times("2020-11-26 12:41:00+00:00"), at(NOON)),
    "zone +02:00 without seconds": Case(with_times("2020-11-26T14:41+02:00"), at(NOON)),
    "zone +0200": Case(with_times("2020-11-26T14:41:00+0200"), at(NOON)),
    "zone +00 (Postgres, DuckDB)": Case(with_times("2020-11-26 12:41:00+00"), at(NOON)),
    "zone -03:30 and fractions (Postgres)": Case(with_times("2020-11-26 09:11:00.25-03:30"), at(NOON + 0.25)),
    "UTC behind (BigQuery)": Case(with_times("2020-11-26 12:41:00 UTC"), at(NOON)),
    "Z without seconds": Case(with_times("2020-11-26T12:41Z"), at(NOON)),
    "compact": Case(with_times("20201126T124100Z", "20201126T1241"), at(NOON, NOON)),
    "compact with a zone": Case(with_times("20201126T144100+0200"), at(NOON)),
    "dates": Case(with_times("1970-01-02", "1970-01-03"), at(86400, 172800)),
    "slashes (Excel in Japan)": Case(with_times("2020/11/26 12:41", "2020/1/5 9:05"), at(NOON, 1578215100)),
    "a comma before the fraction": Case(with_times("2020-11-26T12:41:00,5", quote='"'), at(NOON + 0.5)),
    "several forms in one file": Case(
        with_times(
            "2020-11-26T12:41", "2020-11-26", "2020-11-26 12:41:00Z", "20201126T124100Z", "2020-11-26T14:41+02:00"
        ),
        at(NOON, 1606348800, NOON, NOON, NOON),
    ),
    "a month and a day that could be either": Case(
        with_times("11/26/2020 12:41"), ":2: timestamp: '11/26/2020 12:41' is neither a number nor an ISO date-time"
    ),
    "no such day": Case(
        with_times("2020-11-26", "2020-11-31"), ":3: timestamp: '2020-11-31' is neither a number nor an ISO date-time"
    ),
    "a bad value in the first row": Case(with_times("soon", "5", "6"), ":2: timestamp: 'soon' is not a number"),
    "a bad value in the first row, dates below": Case(
        with_times("soon", "2020-11-26", "2020-11-27"),
        ":2: timestamp: 'soon' is neither a number nor an ISO date-time",
    ),
    # Packed
    "gzip": Case(gzip.compress(PLAIN.encode()), TWO, {}, "e.csv.gz"),
    "gzip in several members (cat, bgzip)": Case(
        gzip.compress(PLAIN[:35].encode()) + gzip.compress(PLAIN[35:].encode()), TWO, {}, "e.csv.gz"
    ),
    "gzip by another name": Case(gzip.compress(PLAIN.encode()), TWO),
    "gzip with old Macs' line ends": Case(gzip.compress(PLAIN.replace("\n", "\r").encode()), TWO),
    "gzip cut short": Case(gzip.compress(PLAIN.encode())[:-12], ": packed, and broken or cut short"),
    "bzip2": Case(bz2.compress(PLAIN.encode()), TWO, {}, "e.csv.bz2"),
    "xz": Case(lzma.compress(PLAIN.encode()), TWO, {}, "e.csv.xz"),
    "Zstandard": Case(zstandard(PLAIN), TWO, {}, "e.csv.zst"),
    "Zstandard with an inch mark": Case(
        zstandard(PLAIN.replace("i1", 'TV 32"')), [("u1", 'TV 32"', 5), TWO[1]], {}, "e.csv.zst"
    ),
    "Zstandard cut short": Case(zstandard(PLAIN)[:-9], ": packed, and broken or cut short", {}, "e.csv.zst"),
    # Encodings
    "Latin-1": Case(PLAIN.replace("u1", "ü").encode("latin-1"), [("ü", "i1", 5), TWO[1]], {"encoding": "latin-1"}),
    "Latin-1, and nothing said": Case(PLAIN.replace("u1", "ü").encode("latin-1"), ":2: not UTF-8 text (data.encoding)"),
    "Windows-1252": Case(PLAIN.replace("u1", "€").encode("cp1252"), [("€", "i1", 5), TWO[1]], {"encoding": "cp1252"}),
    "Shift-JIS": Case(
        PLAIN.replace("u1", "表").encode("shift_jis"), [("表", "i1", 5), TWO[1]], {"encoding": "shift_jis"}
    ),
    "UTF-16 (Excel's Unicode text)": Case(
        PLAIN.replace(",", "\t").encode("utf-16"), TWO, {"encoding": "utf-16", "separator": "tab"}, "e.txt"
    ),
    "UTF-16, and nothing said": Case(
        PLAIN.encode("utf-16"), ": text in UTF-16; set data.encoding utf-16, or save it as UTF-8"
    ),
    "UTF-16 without a mark, and nothing said": Case(
        PLAIN.encode("utf-16-le"), ": text in UTF-16-LE; set data.encoding utf-16-le, or save it as UTF-8"
    ),
    "not in the encoding that is said": Case(
        PLAIN.replace("u1", "ü").encode("latin-1"), ": not text in utf-16 (data.encoding)", {"encoding": "utf-16"}
    ),
    "bytes that are no text in one row, left out": Case(PLAIN.encode() + b"\xff,i3,7\n", TWO, {"bad_rows": "skip"}),
    # Other things
    "an Excel workbook": Case(
        zipped("[Content_Types].xml", "xl/workbook.xml"), ": an Excel workbook (.xlsx); save the sheet as CSV UTF-8"
    ),
    "a LibreOffice sheet": Case(zipped("mimetype", "content.xml"), ": a LibreOffice document (.ods); save the sheet"),
    "a zip archive": Case(zipped("e.csv"), ": a zip archive; unpack it"),
    "an old Excel file": Case(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), ": an old Excel or Office file; save"),
    "a PDF document": Case(b"%PDF-1.7\n", ": a PDF document; export its table as CSV"),
    "a web page": Case("<!DOCTYPE html>\n<html>", ": a web page (HTML), not a table; was a page saved"),
    "XML": Case('<?xml version="1.0"?>\n<a/>', ": an XML document; export its table as CSV"),
    "JSON lines": Case('{"user_id": 1}\n{"user_id": 2}\n', ": JSON; write its table as CSV or Parquet"),
    "Parquet called .csv": Case(parquet_bytes(user_id=[1]), ": a Parquet file; set data.source parquet"),
    "CSV called Parquet": Case(
        PLAIN, ": not a Parquet file but text; set data.source csv", {"source": "parquet"}, "e.parquet"
    ),
    "half a Parquet file": Case(parquet_bytes(user_id=[1])[:40], ": not a whole Parquet file", {"source": "parquet"}),
    "a pickle": Case(b"\x80\x04\x95" + bytes(20), ": a Python pickle; write its table as CSV or Parquet"),
    "a tar archive": Case(bytes(257) + b"ustar" + bytes(300), ": a tar archive; unpack it"),
}


def events(config: DataConfig) -> list[Event]:
    read = open_source(config).read_interactions(with_ratings=False)
    rows = zip(read.users.tolist(), read.items.tolist(), read.times.tolist(), strict=True)
    return [(read.user_ids[user], read.item_ids[item], time) for user, item, time in rows]


@pytest.mark.parametrize("name", TEXT)
def test_a_file_of_interactions(name: str, tmp_path: Path) -> None:
    case = TEXT[name]
    path = tmp_path / case.name
    path.write_bytes(case.content.encode() if isinstance(case.content, str) else case.content)
    config = DataConfig(**{"source": "csv", "path": str(path), **case.settings})
    if not isinstance(case.right, str):
        assert events(config) == case.right
        return
    with pytest.raises(UserError) as caught:
        events(config)
    assert str(caught.value).removeprefix(str(path)).startswith(case.right)
    assert "\n" not in str(caught.value)


def test_an_sqlite_database(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(sqlite(tmp_path))
    with pytest.raises(UserError, match=r"e\.csv: an SQLite database; export the table as CSV"):
        open_source(DataConfig(source="csv", path=str(tmp_path / "e.csv")))


UTC_NOON = datetime(2020, 11, 26, 12, 41, tzinfo=UTC)
COLUMNS: dict[str, tuple[pl.Series, pl.Series, pl.Series, list[Event] | str]] = {
    "whole numbers": (pl.Series([1]), pl.Series([2]), pl.Series([5]), [("1", "2", 5)]),
    "unsigned": (
        pl.Series([2**64 - 1], dtype=pl.UInt64),
        pl.Series([2], dtype=pl.UInt8),
        pl.Series([5], dtype=pl.UInt32),
        [(str(2**64 - 1), "2", 5)],
    ),
    "decimals": (
        pl.Series([Decimal("1")], dtype=pl.Decimal(20, 0)),
        pl.Series(["i"]),
        pl.Series([Decimal("5.5")]),
        [("1", "i", 5.5)],
    ),
    "dictionaries (pandas' category)": (
        pl.Series(["u"], dtype=pl.Categorical),
        pl.Series(["i"], dtype=pl.Enum(["i"])),
        pl.Series(["5"], dtype=pl.Categorical),
        [("u", "i", 5)],
    ),
    "moments in nanoseconds": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([UTC_NOON]).cast(pl.Datetime("ns", "UTC")),
        [("u", "i", NOON)],
    ),
    "moments in another zone": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([UTC_NOON]).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone("Europe/Berlin"),
        [("u", "i", NOON)],
    ),
    "moments without a zone": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([UTC_NOON.replace(tzinfo=None)]),
        [("u", "i", NOON)],
    ),
    "dates": (pl.Series(["u"]), pl.Series(["i"]), pl.Series([date(1970, 1, 2)]), [("u", "i", 86400)]),
    "times as text": (pl.Series(["u"]), pl.Series(["i"]), pl.Series(["2020-11-26T12:41"]), [("u", "i", NOON)]),
    "bytes (old Spark, Impala)": (pl.Series([b"u"]), pl.Series([b"i"]), pl.Series([b"5"]), [("u", "i", 5)]),
    "lists of ids": (
        pl.Series([[1]]),
        pl.Series(["i"]),
        pl.Series([5]),
        ": column 'user_id' holds List(Int64), not text or numbers",
    ),
    "lists of times": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([[5]]),
        ": column 'timestamp' holds List(Int64), not numbers or date-times",
    ),
    "truth values for times": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([True]),
        ": column 'timestamp' holds Boolean, not numbers or date-times",
    ),
    "a gap": (
        pl.Series(["u", "v"]),
        pl.Series(["i", "j"]),
        pl.Series([5, None]),
        ": row 2: timestamp: the value is empty",
    ),
    "nothing but gaps": (
        pl.Series(["u"]),
        pl.Series(["i"]),
        pl.Series([None]),
        ": row 1: timestamp: the value is empty",
    ),
    "no rows": (
        pl.Series([], dtype=pl.String),
        pl.Series([], dtype=pl.String),
        pl.Series([], dtype=pl.Int64),
        ": no rows",
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_parquet(name: str, tmp_path: Path) -> None:
    users, items, times, right = COLUMNS[name]
    path = tmp_path / "e.parquet"
    pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times}).write_parquet(path)
    config = DataConfig(source="parquet", path=str(path))
    if not isinstance(right, str):
        assert events(config) == right
        return
    with pytest.raises(UserError) as caught:
        events(config)
    assert str(caught.value).removeprefix(str(path)) == right


FOLDERS: dict[str, tuple[dict[str, str | bytes], list[Event] | str, dict[str, Any]]] = {
    "Spark, CSV": (
        {
            "_SUCCESS": "",
            "._SUCCESS.crc": "x",
            ".part-0.csv.crc": "x",
            "part-0.csv": PLAIN[:34],
            "part-1.csv": HEAD + "u2,i2,6\n",
        },
        TWO,
        {},
    ),
    "Spark, CSV, packed, an empty part": (
        {
            "part-0.csv.gz": gzip.compress(PLAIN[:34].encode()),
            "part-1.csv.gz": gzip.compress(HEAD.encode()),
            "part-2.csv.gz": gzip.compress(b"timestamp,item_id,user_id\n6,i2,u2\n"),
        },
        TWO,
        {},
    ),
    "Hadoop: no endings, no header": (
        {"_SUCCESS": "", "part-10": "u2\ti2\t6\n", "part-2": "u1\ti1\t5\n", "part-11": ""},
        TWO,
        {"names": NO_NAMES, "separator": "tab"},
    ),
    "Parquet, types that differ": (
        {
            "a.parquet": parquet_bytes(user_id=[1], item_id=[2], timestamp=[5]),
            "b.parquet": parquet_bytes(timestamp=[6.5], item_id=[3], user_id=[2]),
        },
        [("1", "2", 5), ("2", "3", 6.5)],
        {"source": "parquet"},
    ),
    "hive: dates": (
        {
            "date=1970-01-02/0.parquet": parquet_bytes(user_id=["u1"], item_id=["i1"]),
            "date=1970-01-03/0.parquet": parquet_bytes(user_id=["u2"], item_id=["i2"]),
        },
        [("u1", "i1", 86400), ("u2", "i2", 172800)],
        {"source": "parquet", "columns": ColumnsConfig(timestamp="date")},
    ),
    "hive: users, with blanks and slashes": (
        {"user_id=a%20b%2Fc/0.csv": "item_id,timestamp\ni1,5\n", "user_id=u2/x=1/0.csv": "item_id,timestamp\ni2,6\n"},
        [("a b/c", "i1", 5), ("u2", "i2", 6)],
        {},
    ),
    "hive: a user that is missing": (
        {"user_id=__HIVE_DEFAULT_PARTITION__/0.csv": "item_id,timestamp\ni1,5\n"},
        "/user_id=__HIVE_DEFAULT_PARTITION__/0.csv:2: user_id: the value is empty",
        {},
    ),
    "a text beside": ({"README.txt.md": "words", "e.csv": PLAIN}, TWO, {}),
    "a part with other columns": (
        {"0.csv": PLAIN, "1.csv": "user,item\n1,2\n"},
        "/1.csv: no column 'item_id', which ",
        {},
    ),
    "a bad row in the second part": (
        {"0.csv": PLAIN, "1.csv": "user_id,item_id,timestamp\nu3,i3,7\nu4,i4,x\n"},
        "/1.csv:3: timestamp: 'x' is not a number",
        {},
    ),
    "nothing but hidden files": ({"_SUCCESS": "", ".x.csv": PLAIN}, ": a folder without a file to read", {}),
    "Parquet in a folder of CSV": (
        {"0.csv": PLAIN, "1.parquet": parquet_bytes(user_id=[1])},
        "/1.parquet: a Parquet file; set data.source parquet",
        {},
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_part_files(name: str, tmp_path: Path) -> None:
    files, right, settings = FOLDERS[name]
    folder = tmp_path / "events"
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    config = DataConfig(**{"source": "csv", "path": str(folder)} | settings)
    if not isinstance(right, str):
        assert events(config) == right
        return
    with pytest.raises(UserError) as caught:
        events(config)
    assert str(caught.value).removeprefix(str(folder)).startswith(right)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"separator": ""}, "data.separator: '' is out of range; it must be a character or several"),
        ({"separator": "\n"}, "data.separator: '\\n' is out of range; it must be without line ends"),
        ({"quote": ""}, "data.quote: '' is out of range; it must be one character, or none"),
        ({"quote": ","}, "data.quote: ',' is out of range; it must be one character, neither"),
        ({"escape": "ab"}, "data.escape: 'ab' is out of range"),
        ({"encoding": "hex"}, "data.encoding: 'hex' is no encoding that Python knows"),
        ({"names": ("a", "a")}, "data.names: ('a', 'a') is out of range; it must be without repetitions"),
    ],
)
def test_forms_that_make_no_sense_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        DataConfig(source="csv", path="e.csv", **settings)
    assert str(caught.value).startswith(problem)


def test_a_form_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user_id;item_id;timestamp\nu1;i1;5,5\n")
    (tmp_path / "t.csv").write_bytes('item_id\ttitle\ni1\tCafé 32"\n'.encode("latin-1"))
    config = DataConfig(
        source="csv",
        path=str(tmp_path / "e.csv"),
        items_path=str(tmp_path / "t.csv"),
        separator=";",
        decimal=",",
        items=ItemsFormConfig(separator="tab", encoding="latin-1", quote="none"),
    )
    assert events(config) == [("u1", "i1", 5.5)]
    assert open_source(config).read_items().titles == {"i1": 'Café 32"'}


def test_items_are_parquet_by_their_content_and_may_lie_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(PLAIN)
    (tmp_path / "items").mkdir()
    for part, item in enumerate(("i1", "i2")):
        content = parquet_bytes(item_id=[item], title=[f"Film {item}"])
        (tmp_path / "items" / f"part-{part}").write_bytes(content)
    config = DataConfig(source="csv", path=str(tmp_path / "e.csv"), items_path=str(tmp_path / "items"))
    assert open_source(config).read_items().titles == {"i1": "Film i1", "i2": "Film i2"}
