"""Whether quotes stand where CSV has them: found for whole blocks at once, since only then two readers agree."""

import numpy as np
from numpy.typing import NDArray

from recdistill.tables.records import Dialect


def places_of(content: bytes, quote: str) -> NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord(quote))


def end_outside_quotes(content: bytes, end: int, quotes: NDArray[np.int64]) -> int:
    """The last end of a line up to `end` that is not within quotes, if all quotes are in place; 0: there is none."""
    before = int(np.searchsorted(quotes, end))
    while before % 2:
        end = content.rfind(b"\n", 0, int(quotes[before - 1])) + 1
        before = int(np.searchsorted(quotes, end))
    return end


def are_in_place(content: bytes, quotes: NDArray[np.int64], dialect: Dialect) -> bool:
    """Whether quotes open where a value begins, close where it ends, and are doubled in between, everywhere.

    Only then do polars and the csv module read the same. In their order, quotes open and close by turns; a doubled one
    closes and opens again.
    """
    if len(quotes) % 2:
        return False
    # A line end before and behind all: the first value begins at the beginning, and the last one ends at the end.
    text = np.frombuffer(b"\n" + content + b"\n\n", dtype=np.uint8)
    opening, closing = quotes[0::2] + 1, quotes[1::2] + 1
    around = np.array([ord(dialect.separator), ord("\n"), ord(dialect.quote)], dtype=np.uint8)
    behind = text[closing + 1]
    ends_line = (behind == ord("\r")) & (text[closing + 2] == ord("\n"))
    return bool(np.isin(text[opening - 1], around).all() and (np.isin(behind, around) | ends_line).all())
