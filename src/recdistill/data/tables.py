"""Files of rows and columns: text with any separator, and Parquet. Every complaint names the file and the line."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl
from polars.exceptions import PolarsError

from recdistill.errors import UserError
from recdistill.files import read_errors

UNIT_SEPARATOR = b"\x1f"
"""Stands in for separators of more than one character, which the reader does not know."""


class Table(Protocol):
    """A file of rows with named columns."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""

    def read(self, wanted: Sequence[str]) -> pl.DataFrame:
        """The wanted columns, rows in file order; in text files all columns are text and an empty value is null.

        Raises:
            UserError: a column is missing, there are no rows, or the file cannot be read.
        """

    def place(self, row: int) -> str:
        """Where row `row` of :meth:`read` stands, as `file:line` or `file: row n`, for error messages."""


@dataclass(frozen=True)
class TextTable:
    """A text file with one row a line; lines without any value are passed over.

    Attributes:
        path: the file.
        names: names of its columns, in order.
        header: whether the first line holds names and not values.
        separator: what stands between two values, one character or more.
        quotes: whether a value may stand in double quotes, as in CSV.
        encoding: of the text.
    """

    path: Path
    names: tuple[str, ...]
    header: bool = True
    separator: str = ","
    quotes: bool = False
    encoding: str = "utf-8"

    def read(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`Table`. A line with more values than there are columns is an error, never cut short."""
        require_columns(self, wanted)
        try:
            # All columns are read: told to read some only, polars would not notice values that are too many.
            frame = pl.read_csv(
                self._content(), has_header=self.header, separator=self._separator(), infer_schema=False,
                quote_char='"' if self.quotes else None, glob=False,
            )  # fmt: skip
        except PolarsError as error:
            raise self._explain(error) from error
        if frame.width != len(self.names):
            raise self._explain(None)
        frame.columns = list(self.names)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        frame = frame.select(wanted)
        if blank.any():
            frame = frame.filter(~blank)
        if frame.is_empty():
            raise UserError(f"{self.path}: no rows" + (" below the header" if self.header else ""))
        return frame

    def place(self, row: int) -> str:
        """See :class:`Table`. Reads the file again up to that line."""
        records = ((line, values) for line, values in self._records() if any(values))
        for index, (line, _) in enumerate(records):
            if index == row:
                return f"{self.path}:{line}"
        return str(self.path)

    def _content(self) -> Path | bytes:
        """What polars can read: the file itself, or its bytes as UTF-8 with a separator of one character."""
        if len(self.separator) == 1 and self.encoding == "utf-8":
            return self.path
        try:
            text = self.path.read_bytes().decode(self.encoding).encode()
        except UnicodeDecodeError as error:
            raise self._not_utf8() from error
        return text.replace(self.separator.encode(), self._separator().encode())

    def _separator(self) -> str:
        return self.separator if len(self.separator) == 1 else UNIT_SEPARATOR.decode()

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Line number, counted from 1, and values of each row; slow, and used only to say where an error is."""
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        with self.path.open(encoding=encoding, errors="replace", newline="") as file:
            if not self.quotes:
                lines = ((line, text.rstrip("\r\n").split(self.separator)) for line, text in enumerate(file, start=1))
                yield from (record for record in lines if record[0] > self.header)
                return
            reader = csv.reader(file, delimiter=self.separator)
            line = 1
            for count, values in enumerate(reader):
                if count >= self.header:
                    yield line, values
                line = reader.line_num + 1

    def _not_utf8(self) -> UserError:
        return UserError(f"{self.path}:{_first_line_not_utf8(self.path)}: not UTF-8 text")

    def _explain(self, error: PolarsError | None) -> UserError:
        """Find the line that could not be read."""
        if error is not None and "utf-8" in str(error):
            return self._not_utf8()
        for line, values in self._records():
            if len(values) > len(self.names) or (any(values) and error is None and len(values) < len(self.names)):
                return UserError(f"{self.path}:{line}: {len(values)} values for {len(self.names)} columns")
        return UserError(f"{self.path}: cannot be read as a table ({str(error).splitlines()[0]})")


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file; columns keep their types."""

    path: Path
    names: tuple[str, ...]

    def read(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`Table`."""
        require_columns(self, wanted)
        try:
            frame = pl.read_parquet(self.path, columns=list(wanted), glob=False)
        except PolarsError as error:
            raise UserError(f"{self.path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
        if frame.is_empty():
            raise UserError(f"{self.path}: no rows")
        return frame.select(wanted)

    def place(self, row: int) -> str:
        """See :class:`Table`. Rows count from 1."""
        return f"{self.path}: row {row + 1}"


def text_with_header(path: Path, separator: str, quotes: bool) -> TextTable:
    """A UTF-8 text file whose first line names the columns.

    Raises:
        UserError: the file is missing or empty, or two columns have one name.
    """
    with open_table(path) as file:
        first = file.readline()
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:1: not UTF-8 text") from error
    if not text.strip():
        raise UserError(f"{path}: the file is empty or its first line, which names the columns, is")
    names = next(csv.reader([text], delimiter=separator)) if quotes else text.split(separator)
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}:1: two columns are called {name!r}")
    return TextTable(path, tuple(names), separator=separator, quotes=quotes)


def text_without_header(path: Path, names: tuple[str, ...], separator: str, encoding: str = "utf-8") -> TextTable:
    """A text file of values only, whose columns are known.

    Raises:
        UserError: the file is missing or empty.
    """
    with open_table(path) as file:
        if not file.read(1):
            raise UserError(f"{path}: the file is empty")
    return TextTable(path, names, header=False, separator=separator, encoding=encoding)


def parquet(path: Path) -> ParquetTable:
    """A Parquet file.

    Raises:
        UserError: the file is missing or not Parquet.
    """
    with open_table(path) as file:
        if not file.read(1):
            raise UserError(f"{path}: the file is empty")
    try:
        return ParquetTable(path, tuple(pl.read_parquet_schema(path)))
    except PolarsError as error:
        raise UserError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from error


def open_table(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        UserError: it is missing, a folder, or may not be read.
    """
    with read_errors(path):
        return path.open("rb")


def require_columns(table: Table, wanted: Sequence[str]) -> None:
    """Check that the table has these columns.

    Raises:
        UserError: it lacks one; the message lists those it has.
    """
    for name in wanted:
        if name not in table.names:
            known = ", ".join(repr(known) for known in table.names)
            hint = "; with one column only, the separator may be another" if len(table.names) == 1 else ""
            raise UserError(f"{table.path}: no column {name!r}; it has {known}{hint}")


def _first_line_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                return line
    return 1
