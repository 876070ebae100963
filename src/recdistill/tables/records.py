"""Rows of text as Python's csv module reads them: slow, exact, and told by line where something is wrong."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from typing import NamedTuple

BARE_RETURN = "\ufdd0"
"""Stands in for a CR that ends no line while the csv module reads, which would refuse it; no text holds this."""

BARE = re.compile(r"\r(?!\n)")


@dataclass(frozen=True)
class Dialect:
    """How a text file separates its values.

    Attributes:
        separator: what stands between two values, one character.
        quote: what values with separators and line ends stand between, one character; empty: nothing does.
        escape: what takes a quote's meaning away within quotes, beside doubling it; empty: nothing does.
    """

    separator: str = ","
    quote: str = '"'
    escape: str = ""


class Record(NamedTuple):
    """One row.

    Attributes:
        line: the line it begins at.
        values: its values; an empty one is ''.
    """

    line: int
    values: list[str]


class OpenQuoteError(Exception):
    """A quote that nothing closes, or that only the opening quote of a later value does.

    Attributes:
        line: where it stands.
        is_long: there is no quote at all, but a value longer than the csv module reads.
    """

    def __init__(self, line: int, is_long: bool = False) -> None:
        super().__init__(line)
        self.line, self.is_long = line, is_long


class Records:
    """The rows of a piece of text.

    Quotes within a value that does not begin with one are plain characters (`TV 32"`), and what stands behind a closing
    quote is part of the value, as in Python's csv, pandas and DuckDB. A row may go over several lines only within
    well-formed quotes.

    Args:
        content: UTF-8 text that begins at the beginning of a row; bytes that are no text become lone surrogates.
        dialect: how values are separated.
        line: number of its first line.
        is_last: whether nothing comes behind it.

    Attributes:
        left: after the last row: bytes at the end that belong to a row which is not complete.
    """

    def __init__(self, content: bytes, dialect: Dialect, line: int, is_last: bool) -> None:
        self.content, self.dialect, self.line, self.is_last, self.left = content, dialect, line, is_last, 0

    def __iter__(self) -> Iterator[Record]:
        """Give all complete rows.

        Raises:
            OpenQuoteError: a quote is not closed.
        """
        text = self.content.decode("utf-8", "surrogateescape")
        if self.dialect.quote:
            yield from self._quoted(BARE.sub(BARE_RETURN, text) if "\r" in text else text)
            return
        for index, row in enumerate(text.removesuffix("\n").split("\n")):
            row = row.removesuffix("\r")
            yield Record(self.line + index, row.split(self.dialect.separator) if row else [])

    def _quoted(self, text: str) -> Iterator[Record]:
        taken: list[str] = []

        def taking() -> Iterator[str]:
            for line in StringIO(text, newline="\n"):
                taken.append(line)
                yield line

        reader = self._reader(taking(), strict=False)
        line, pending = self.line, None
        try:
            for values in reader:
                if pending is not None:
                    yield pending
                lines = taken.copy()
                taken.clear()
                problem = self._problem(lines) if len(lines) > 1 else ""
                if problem and "unexpected end" not in problem:
                    raise OpenQuoteError(line)
                pending = Record(line, _restored(values))
                line += len(lines)
        except csv.Error as error:  # a value longer than the csv module allows: a quote ran over many lines, mostly
            raise OpenQuoteError(line, is_long=self.dialect.quote not in text) from error
        if pending is None:
            return
        if not self._is_open(lines):
            yield pending
        elif self.is_last:
            raise OpenQuoteError(pending.line)
        else:
            self.left = len("".join(lines).replace(BARE_RETURN, "\r").encode("utf-8", "surrogateescape"))

    def _is_open(self, lines: list[str]) -> bool:
        """Whether a row ends within quotes. What is wrong before that, if anything, does not matter here."""
        return len(list(self._reader([*lines, "\n"], strict=False))) == 1

    def _problem(self, lines: list[str]) -> str:
        """What is wrong with the quotes of one row; empty if nothing is."""
        try:
            list(self._reader(lines, strict=True))
        except csv.Error as error:
            return str(error)
        return ""

    def _reader(self, lines: Iterable[str], strict: bool) -> Iterator[list[str]]:
        separator, quote, escape = self.dialect.separator, self.dialect.quote, self.dialect.escape or None
        return csv.reader(lines, delimiter=separator, quotechar=quote, escapechar=escape, strict=strict)


def _restored(values: list[str]) -> list[str]:
    return [value.replace(BARE_RETURN, "\r") if BARE_RETURN in value else value for value in values]
