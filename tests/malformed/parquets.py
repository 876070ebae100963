"""Malformed Parquet: cut, with another footer, of other types."""

import io
from typing import Any

import numpy as np
import polars as pl

from malformed.case import Case
from malformed.texts import events

GOOD = pl.DataFrame({"user_id": ["u", "v"] * 50, "item_id": ["i"] * 100, "timestamp": np.arange(100)})
WHOLE_LENGTH = (0, 1, 2**16, 2**31 - 1, 2**32 - 1)
"""Lengths that a footer may claim to have."""


def content(frame: pl.DataFrame = GOOD, **settings: Any) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file, **settings)
    return file.getvalue()


WHOLE = content(compression="uncompressed")
FOOTER = int.from_bytes(WHOLE[-8:-4], "little")


def parquet(name: str, made: bytes, said: str = "") -> Case:
    return events(f"Parquet: {name}", made, said, file="e.parquet", source="parquet")


def typed(name: str, said: str, **columns: Any) -> Case:
    return parquet(name, content(GOOD.with_columns(**columns)), said)


DAMAGED = [
    parquet("empty", b"", "not a Parquet file"),
    parquet("four bytes", b"PAR1"),
    parquet("text", b"user_id,item_id\n", "text; set data.source csv"),
    parquet("a pickle", b"\x80\x04\x95" + b"\0" * 40, "a Python pickle"),
    parquet("without its last byte", WHOLE[:-1]),
    parquet("without its footer", WHOLE[: -FOOTER - 8]),
    parquet("half", WHOLE[: len(WHOLE) // 2]),
    parquet("another mark at the end", WHOLE[:-4] + b"PARE"),
    parquet("a footer of zeros", WHOLE[: -FOOTER - 8] + b"\0" * FOOTER + WHOLE[-8:]),
    parquet("a footer of ones", WHOLE[: -FOOTER - 8] + b"\xff" * FOOTER + WHOLE[-8:]),
    *(parquet(f"a footer said to be {n} bytes", WHOLE[:-8] + n.to_bytes(4, "little") + b"PAR1") for n in WHOLE_LENGTH),
    parquet("a footer of something else", b"PAR1" + b"x" * 500 + WHOLE[-8:]),
]
TYPED = [
    parquet("no rows", content(GOOD.head(0)), "no rows"),
    parquet("no user", content(GOOD.drop("user_id")), "no column 'user_id'"),
    typed("a missing user", "user_id: the value is empty", user_id=pl.lit(None, dtype=pl.String)),
    typed("lists as users", "not text or numbers", user_id=pl.lit([1, 2])),
    typed("structures as items", "not text", item_id=pl.struct(pl.col("item_id"))),
    typed("NaN as a time", "timestamp", timestamp=pl.lit(float("nan"))),
    typed("an infinite time", "timestamp", timestamp=pl.lit(float("inf"))),
    typed("a missing time", "timestamp: the value is empty", timestamp=pl.lit(None, dtype=pl.Int64)),
    typed("truth as a time", "not numbers", timestamp=pl.lit(value=True)),
    typed("lists as times", "not numbers", timestamp=pl.lit([1.0])),
    typed("times that are no date", "time", timestamp=pl.lit("2024-02-31")),
    typed("bytes that are no text", "", user_id=pl.lit(b"\xff\xfe")),
    typed("ids beyond all floats", "several ids may have become one", user_id=pl.lit(2.0**60)),
    typed("NaN as an id", "user_id", user_id=pl.lit(float("nan"))),
    parquet(
        "5,000 columns and not the right ones", content(pl.DataFrame({f"c{n}": [1] for n in range(5000)})), "no column"
    ),
]
CASES = [*DAMAGED, *TYPED]
