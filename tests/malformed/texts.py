"""Malformed tables of text: interactions and items in CSV and its kin, plain, packed and in folders."""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

from malformed.case import Case, Content, all_of, written
from malformed.foreign import FOREIGN, GOOD, HEAD, ITEMS
from recdistill.config import ColumnsConfig, DataConfig, ItemsFormConfig
from recdistill.data.sources import open_source

MIB = 1 << 20
PLAIN = ColumnsConfig(timestamp="")


def reading(path: str, items_file: str = "", **settings: Any) -> Any:
    def read(folder: Path) -> None:
        others = {key: str(folder / settings[key]) for key in ("validation_path", "test_path") if key in settings}
        config = DataConfig(
            **{"source": "csv"} | settings | others,
            path=str(folder / path),
            items_path=str(folder / items_file) if items_file else "",
        )
        source = open_source(config)
        source.read_interactions(with_ratings=bool(config.columns.rating))
        source.read_items()

    return read


def events(name: str, content: Content, said: str = "", file: str = "events.csv", **settings: Any) -> Case:
    return Case(f"events: {name}", written(file, content), reading(file, **settings), said or file)


def items(name: str, content: Content, said: str = "", file: str = "items.csv", **settings: Any) -> Case:
    write = all_of(written("events.csv", GOOD), written(file, content))
    return Case(f"items: {name}", write, reading("events.csv", items_file=file, **settings), said or file)


ROWS: dict[str, tuple[bytes, str]] = {
    "too many values": (b"u,i,1,2\n", "4 values for 3 columns"),
    "no user": (b",i,1\n", "user_id: the value is empty"),
    "no item": (b"u,,1\n", "item_id: the value is empty"),
    "no time": (b"u,i,\n", "timestamp: the value is empty"),
    "a row cut short": (b"u,i", "timestamp: the value is empty"),
    "NaN as a user": (b"NaN,i,1\n", "is not an id"),
    "null as an item": (b"u,null,1\n", "is not an id"),
    "NaN as a time": (b"u,i,NaN\n", "is not a number"),
    "an infinite time": (b"u,i,inf\n", "is not a number"),
    "a time of minus infinity": (b"u,i,-Infinity\n", "is not a number"),
    "a time beyond all floats": (b"u,i,1e999\n", "is not a number"),
    "a time of 400 digits": (b"u,i," + b"9" * 400 + b"\n", "is not a number"),
    "a word as a time": (b"u,i,yesterday\n", "is not a number"),
    "a time with a NUL": (b"u,i,1\x002\n", "is not a number"),
    "an escape sequence as a time": (b"u,i,\x1b[2J\n", "is not a number"),
    "a bidirectional override as a time": ("u,i,\u202e1\n".encode(), "is not a number"),
    "a formula as a time": (b"u,i,=1+1\n", "is not a number"),
    "hexadecimal": (b"u,i,0x10\n", "is not a number"),
    "full-width digits": ("u,i,\uff11\n".encode(), "is not a number"),
    "a lone surrogate": (b"u\xed\xa0\x80,i,1\n", "not UTF-8"),
    "a byte that is no text": (b"\xff,i,1\n", "not UTF-8"),
    "an overlong form": (b"\xc0\xaf,i,1\n", "not UTF-8"),
    "a character cut in two": (b"u,i\xe3\x81,1\n", "not UTF-8"),
    "an open quote": (b'u,"i,1\nv,i,2\n', "a quote"),
    "an open quote in the last row": (b'u,i,"1', "a quote"),
    "text behind a quote": (b'u,"i"x\nv",1\n', "the value is empty"),
    "another separator": (b"u;i;1\n", "item_id: the value is empty"),
    "a month that is not there": (b"u,i,2024-13-01\n", "is not a number"),
    "a day that is not there": (b"u,i,2024-02-30\n", "is not a number"),
}
"""Bad rows behind good ones."""


def _packed() -> bytes:
    """200 kB that would be 200 MB: a row that never ends behind good ones."""
    return gzip.compress(GOOD + b"u," + b"x" * 200 * MIB, 1)


CUT = gzip.compress(GOOD * 200)[:-30]
FLIPPED = bytes(byte ^ (place == 60) * 255 for place, byte in enumerate(gzip.compress(GOOD * 200)))
NO_QUOTES = {"quote": "none"}

HEAVY = [
    events("a line of 100 MB", lambda: HEAD + b"u," + b"x" * 100 * MIB, "a value of more than"),
    events("a header of 100 MB", lambda: b"x" * 100 * MIB, "a value of more than"),
    events("a quoted field that never ends", lambda: HEAD + b'u,"' + b"line\n" * 20 * MIB, "a quote"),
    events("a quoted line that never ends", lambda: HEAD + b'u,"' + b"x" * 100 * MIB, "a quote"),
    events("a line of 100 MB, no quotes", lambda: HEAD + b"u," + b"x" * 100 * MIB, "a row of more than", quote="none"),
    events("a packed line of 200 MB", _packed, "a row of more than 64 MiB", file="e.csv.gz"),
    events("a packed line of 200 MB, no quotes", _packed, "a row of more than 64 MiB", file="e.csv.gz", quote="none"),
    events("a million columns", lambda: b",".join(b"c%d" % n for n in range(1_000_000)), "more than 10,000 columns"),
    events("a million columns of one name", lambda: b"c," * 1_000_000 + b"c", "more than 10,000 columns"),
    events("a million columns without a name", lambda: b"," * 1_000_000, "the file is empty"),
    events("a row with a million values", lambda: GOOD + b"1," * 1_000_000, "1000001 values for 3 columns"),
    events("a hundred thousand bad rows", lambda: HEAD + b"u,i,x\n" * 100_000, "100,000 bad rows"),
    items("a title of 100 MB that never ends", lambda: b'item_id,title\ni,"' + b"x" * 100 * MIB, "a quote"),
]
"""Inputs that could take much memory."""

EVENTS = [
    events("empty", b"", "the file is empty"),
    events("nothing but line ends", b"\n\n\r\n", "empty"),
    events("nothing but NULs", b"\0" * 5000, ""),
    events("a header alone", HEAD, "no rows"),
    events("two columns of one name", b"user_id,user_id,item_id,timestamp\n", "two columns are called"),
    events("two columns without a name", b"user_id,item_id,timestamp,,\nu,i,1,,\n", "two columns are called ''"),
    events("a header that is no text", b"user_id,\xff,timestamp\nu,i,1\n", "not UTF-8"),
    events("a NUL in the header", b"user_id\0,item_id,timestamp\nu,i,1\n", "no column"),
    events("a bidirectional control in the header", "\u202euser_id,item_id,timestamp\nu,i,1\n", "no column"),
    events("a header of another separator", b"user_id;item_id;timestamp\nu;i;1\n", "the separator seems to be"),
    events("an open quote in the header", b'user_id,"item_id,timestamp\nu,i,1\n', "a quote"),
    events("a folder without a file", b"", "", file="deep/.hidden"),
    *(events(f"is {name}", content) for name, content in FOREIGN.items()),
    *(events(name, GOOD + row, said) for name, (row, said) in ROWS.items()),
    *(
        events(f"{name}, as TSV", GOOD.replace(b",", b"\t") + row.replace(b",", b"\t"), separator="\t", file="e.tsv")
        for name, (row, _) in ROWS.items()
        if b";" not in row
    ),
    *(
        events(f"{name}, packed", gzip.compress(GOOD + row), said, file="e.csv.gz")
        for name, (row, said) in ROWS.items()
    ),
    events("a packed file cut short", CUT, "broken or cut short", file="e.csv.gz"),
    events("a packed file with a flipped byte", FLIPPED, "broken or cut short", file="e.csv.gz"),
    events("gzip and nothing behind", b"\x1f\x8b", "broken or cut short", file="e.csv.gz"),
    events("bzip2 cut short", bz2.compress(GOOD * 300)[:-9], "broken or cut short", file="e.csv.bz2"),
    events("xz cut short", lzma.compress(GOOD * 300)[:-9], "broken or cut short", file="e.csv.xz"),
    events("Zstandard and nothing behind", b"\x28\xb5\x2f\xfd", "", file="e.csv.zst"),
    events("Zstandard, broken", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "", file="e.csv.zst"),
    events("text in another encoding", "user_id,item_id,timestamp\nü,i,1\n".encode("latin-1"), "not UTF-8"),
    events("no UTF-16", GOOD + b"x", "no column", encoding="utf-16-le"),
    events(
        "an infinite rating",
        b"user_id,item_id,rating\nu,i,inf\n",
        "rating",
        columns=ColumnsConfig(timestamp="", rating="rating"),
    ),
    events(
        "an empty rating",
        b"user_id,item_id,rating\nu,i,\n",
        "rating",
        columns=ColumnsConfig(timestamp="", rating="rating"),
    ),
    events(
        "an unknown part of the split",
        b"user_id,item_id,part\nu,i,tset\n",
        "part",
        split="column",
        columns=ColumnsConfig(timestamp="", split="part"),
    ),
    events(
        "one column for two things", GOOD, "one column cannot mean two things", columns=ColumnsConfig(user="item_id")
    ),
]
EVENTS += [
    Case(
        f"folder: {name}",
        all_of(written("part/part-0.csv", GOOD), written("part/part-1.csv", content)),
        reading("part"),
        said,
    )
    for name, content, said in (
        ("a part without a column", b"user_id,item_id\nu,i\n", "no column"),
        ("a part that is Parquet", FOREIGN["a Parquet file"], "a Parquet file"),
        ("a part with a bad row", HEAD + b"u,i,x\n", "part-1.csv:2"),
        ("a part that is a pickle", FOREIGN["a pickle"], "a Python pickle"),
        ("a part with a NUL as its header", b"\0\n1\n", "part-1.csv"),
    )
]
EVENTS += [
    Case(
        f"split: {name}",
        all_of(written("train.csv", GOOD), written("v.csv", GOOD), written("t.csv", content)),
        reading("train.csv", split="files", validation_path="v.csv", test_path="t.csv"),
        said,
    )
    for name, content, said in (
        ("an empty test file", b"", "the file is empty"),
        ("a test file of other columns", b"a,b,c\n1,2,3\n", "no column"),
        ("a test file with a bad row", HEAD + b"u,,1\n", "t.csv:2"),
    )
]

ITEM_FILES = [
    items("empty", b"", "the file is empty"),
    items("no such column", b"item_id,name\ni,A\n", "no column 'title'"),
    items("no ids", b"item_id,title\n,A\n", "item_id: the value is empty"),
    items("NaN as an id", b"item_id,title\nnan,A\n", "is not an id"),
    items("too many values", b"item_id,title\ni,A,B\n", "3 values for 2 columns"),
    items("an open quote", b'item_id,title\ni,"A\n', "a quote"),
    items("no text", b"item_id,title\ni,\xff\n", "not UTF-8"),
    items("two titles", b"item_id,title,title\ni,A,B\n", "two columns are called"),
    items("a text that is not there", ITEMS, "no column 'genre'", text=("genre",)),
    items("a pickle", FOREIGN["a pickle"], "a Python pickle"),
    items("Parquet cut short", b"PAR1xxxx", "not a whole Parquet file"),
    items(
        "without a header, too few values",
        b"i,A\nj\n",
        "1 values for 2 columns",
        items=ItemsFormConfig(names=("item_id", "title")),
    ),
]

CASES = [*HEAVY, *EVENTS, *ITEM_FILES]
