"""Text with one row a line, cut into pieces of whole rows, as it comes from a file."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recdistill.errors import UserError
from recdistill.tables.contents import text_blocks
from recdistill.tables.quotes import are_in_place, end_outside_quotes, places_of
from recdistill.tables.records import Dialect, OpenQuoteError, Records

UNIT_SEPARATOR = "\x1f"
"""Stands in for separators of more than one character, which the readers do not know."""

HEADER_BYTES = 2**20
"""Bytes within which the names of the columns are looked for."""

LONGEST_ROW = 64 * 2**20
"""Bytes of a row. It must be in memory as a whole, and so must what an unclosed quote seems to hold."""

EXCEL_HINT = re.compile("sep=.?")
"""What the first line of a CSV file may tell Excel, less the separator."""


class Piece(NamedTuple):
    """Whole rows of a text file.

    Attributes:
        line: the line the first row begins at.
        content: UTF-8 text.
        quotes: whether there are quotes in it; None: they are not where polars expects them.
    """

    line: int
    content: bytes
    quotes: bool | None


@dataclass(frozen=True)
class TextForm:
    """How a text file is written.

    Attributes:
        separator: what stands between two values, one character or more.
        quote: what values may stand between, as in CSV; empty: nothing.
        escape: what takes a quote's meaning away within quotes, beside doubling it; empty: nothing.
        encoding: of the text.
        decimal: what stands before the decimals of a number.
    """

    separator: str = ","
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8"
    decimal: str = "."

    @property
    def is_replaced(self) -> bool:
        """Whether :data:`UNIT_SEPARATOR` stands in for the separator."""
        return len(self.separator.encode()) > 1

    @property
    def dialect(self) -> Dialect:
        """With a separator of one byte."""
        return Dialect(UNIT_SEPARATOR if self.is_replaced else self.separator, self.quote, self.escape)


@dataclass(frozen=True)
class TextPieces:
    """A text file's rows, cut but not read.

    Attributes:
        path: the file.
        form: how it is written.
        header: whether the first row that is not empty holds names and not values.
    """

    path: Path
    form: TextForm
    header: bool = True

    def __iter__(self) -> Iterator[Piece]:
        """The file below its header, in pieces of whole rows."""
        rest, line, header = b"", 1, self.header
        blocks = self.blocks()
        block = next(blocks, b"")
        while True:
            following = next(blocks, None)
            content = rest + block
            self._check_length(content, line)
            if header:
                _, _, lines = self.header_row(content)
                content, line, header = _without_lines(content, lines), line + lines, False
            piece = self._cut(content, line, following is None)
            if piece.content:
                yield piece
            rest, line = content[len(piece.content) :], line + piece.content.count(b"\n")
            if following is None:
                return
            block = following

    def header_row(self, content: bytes) -> tuple[list[str], int, int]:
        """The names in the first row that is not empty, its line, and how many lines come before the rows below.

        A first line such as `sep=;`, which Excel writes and reads, is passed over.
        """
        names, line, below = list[str](), 1, content.count(b"\n") + 1
        try:
            for record in Records(content[:HEADER_BYTES], self.form.dialect, 1, is_last=True):
                if names:
                    below = record.line - 1
                    break
                if any(value.strip() for value in record.values) and not EXCEL_HINT.fullmatch("".join(record.values)):
                    names, line = record.values, record.line
        except OpenQuoteError as error:
            if not names:
                raise self._open_quote(error) from error
            below = error.line - 1
        return names, line, below

    def blocks(self) -> Iterator[bytes]:
        """The file's text with a separator of one character."""
        if not self.form.is_replaced:
            yield from text_blocks(self.path, self.form.encoding)
            return
        old, rest = self.form.separator.encode(), b""
        for block in text_blocks(self.path, self.form.encoding):
            # A separator may be cut in two by the end of a block.
            content = rest + block
            kept = len(content) - len(old) + 1
            cut = max(content.rfind(old) + len(old), kept) if old in content else max(kept, 0)
            rest = content[cut:]
            yield content[:cut].replace(old, UNIT_SEPARATOR.encode())
        yield rest.replace(old, UNIT_SEPARATOR.encode())

    def _check_length(self, content: bytes, line: int) -> None:
        """Refuse a row that does not end, before more of it is read.

        Raises:
            UserError: it is longer than :data:`LONGEST_ROW`.
        """
        if len(content) > LONGEST_ROW and content.find(b"\n", 0, LONGEST_ROW) < 0:
            raise UserError(
                f"{self.path}:{line}: a row of more than {LONGEST_ROW >> 20} MiB; is this text with a row a line?"
            )

    def _cut(self, content: bytes, line: int, is_last: bool) -> Piece:
        """The whole rows at the beginning of `content`."""
        end = len(content) if is_last else content.rfind(b"\n") + 1
        if not self.form.quote or self.form.quote.encode() not in content:
            return Piece(line, content[:end], quotes=False)
        if not (self.form.escape and self.form.escape.encode() in content):
            quotes = places_of(content, self.form.quote)
            whole = end if is_last else end_outside_quotes(content, end, quotes)
            if whole and are_in_place(content[:whole], quotes[quotes < whole], self.form.dialect):
                return Piece(line, content[:whole], quotes=True)
        records = Records(content[:end], self.form.dialect, line, is_last)
        try:
            for _ in records:
                pass
        except OpenQuoteError as error:
            raise self._open_quote(error) from error
        return Piece(line, content[: end - records.left], quotes=None)

    def _open_quote(self, error: OpenQuoteError) -> UserError:
        if error.is_long:
            most = csv.field_size_limit()
            return UserError(
                f"{self.path}:{error.line}: a value of more than {most:,} characters; is the separator right?"
            )
        return UserError(
            f"{self.path}:{error.line}: a quote ({self.form.quote}) is opened here and not closed where a value ends "
            "(data.quote none reads quotes as plain characters)"
        )


def _without_lines(content: bytes, lines: int) -> bytes:
    end = -1
    for _ in range(lines):
        end = content.find(b"\n", end + 1)
        if end < 0:
            return b""
    return content[end + 1 :]
