"""Text files with one row a line and any separator: quickly by polars where it can be trusted, exactly otherwise."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from recdistill.errors import UserError
from recdistill.tables.bad_rows import BadRow, BadRows, shown
from recdistill.tables.kinds import require_text
from recdistill.tables.records import Record, Records
from recdistill.tables.tables import require_columns
from recdistill.tables.text_pieces import UNIT_SEPARATOR, Piece, TextForm, TextPieces

MOST_COLUMNS = 10_000
"""Columns of a table. A file with more is another thing, or its rows are not ended as it is said."""

SURROGATE = re.compile("[\udc80-\udcff]")
"""What a byte that is no UTF-8 has become."""

BATCH_ROWS = 50_000
"""Rows that the slow reader holds as Python objects at a time."""


@dataclass(frozen=True)
class TextTable:
    """A text file with one row a line; lines without any value are passed over.

    Attributes:
        path: the file.
        names: names of its columns, in order.
        form: how it is written.
        header: whether the first row holds names and not values; without, a row with too few values is bad.
    """

    path: Path
    names: tuple[str, ...]
    form: TextForm
    header: bool = True

    @property
    def decimal(self) -> str:
        """See :class:`Table`."""
        return self.form.decimal

    @property
    def cut(self) -> TextPieces:
        """Its rows in pieces."""
        return TextPieces(self.path, self.form, self.header)

    @property
    def files(self) -> list[Path]:
        """See :class:`Table`."""
        return [self.path]

    def read(self, wanted: Sequence[str], bad: BadRows | None = None, may_be_empty: bool = False) -> pl.DataFrame:
        """See :class:`Table`. A row with more values than there are columns is bad, never cut short."""
        require_columns(self, wanted)
        problems = BadRows(str(self.path)) if bad is None else bad
        frames = [self._frame(piece, problems).select(wanted) for piece in self.cut]
        if bad is None and problems.count:
            raise problems.error()
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
        if frame.is_empty() and not may_be_empty:
            if problems.count:
                raise problems.error()
            raise UserError(f"{self.path}: no rows" + (" below the header" if self.header else ""))
        return frame

    def types(self, wanted: Sequence[str]) -> pl.DataFrame:
        """See :class:`Table`."""
        return pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))

    def pieces(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """See :class:`Table`."""
        require_columns(self, wanted)
        for piece in self.cut:
            yield self._frame(piece, bad).select(wanted)

    def places(self, rows: Sequence[int]) -> list[str]:
        """See :class:`Table`. Reads the file again up to the last of them."""
        found: list[str] = []
        before, left = 0, list(rows)
        for piece in self.cut:
            if not left:
                break
            height = self._frame(piece, BadRows("")).height
            inside = [row - before for row in left if row < before + height]
            if inside:
                found += [f"{self.path}:{line}" for line in self._lines(piece, inside)]
            before, left = before + height, left[len(inside) :]
        return found

    def _lines(self, piece: Piece, rows: Sequence[int]) -> list[int]:
        """The lines of a piece's rows, bad ones and empty ones not counted."""
        good = (record.line for record in self._records(piece) if any(record.values) and not self._problem(record))
        wanted, last = set(rows), rows[-1]
        found = []
        for row, line in enumerate(good):
            if row in wanted:
                found.append(line)
            if row == last:
                break
        return found

    def _frame(self, piece: Piece, bad: BadRows) -> pl.DataFrame:
        """The rows of a piece, all columns, text."""
        frame = None if piece.quotes is None else self._read_fast(piece)
        if frame is None:
            return self._read_slowly(piece, bad)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        return frame.filter(~blank) if blank.any() else frame

    def _read_fast(self, piece: Piece) -> pl.DataFrame | None:
        """By polars; None where it is not sure to read all rows as :class:`Records` does."""
        header = self.form.dialect.separator.join(str(number) for number in range(len(self.names))) + "\n"
        try:
            # All columns are read: told to read some only, polars would not notice values that are too many.
            frame = pl.read_csv(
                header.encode() + piece.content,
                separator=self.form.dialect.separator,
                infer_schema=False,
                quote_char=self.form.quote if piece.quotes else None,
            )
        except PolarsError:
            return None
        if frame.width != len(self.names) or (not self.header and frame.to_series(-1).has_nulls()):
            return None
        frame.columns = list(self.names)
        if not piece.quotes:
            return frame
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
        return (
            frame
            if len(self.form.separator.encode()) == 1
            else frame.with_columns(pl.all().str.replace_all(*self._back))
        )

    def _read_slowly(self, piece: Piece, bad: BadRows) -> pl.DataFrame:
        """By Python's csv module, which tells bad rows from good ones."""
        schema = dict.fromkeys(self.names, pl.String)
        frames, rows = [pl.DataFrame(schema=schema)], list[list[str | None]]()
        for record in self._records(piece):
            if not any(record.values):
                continue
            problem = self._problem(record)
            if problem:
                bad.add([BadRow(f"{self.path}:{record.line}", problem)])
                continue
            values = [value or None for value in record.values[: len(self.names)]]
            rows.append(values + [None] * (len(self.names) - len(values)))
            if len(rows) == BATCH_ROWS:
                frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
                rows.clear()
        return pl.concat([*frames, pl.DataFrame(rows, schema=schema, orient="row")])

    def _records(self, piece: Piece) -> Iterator[Record]:
        records = Records(piece.content, self.form.dialect, piece.line, is_last=True)
        if not self.form.is_replaced:
            yield from records
            return
        for record in records:
            yield Record(record.line, [value.replace(*self._back) for value in record.values])

    @property
    def _back(self) -> tuple[str, str]:
        return UNIT_SEPARATOR, self.form.separator

    def _problem(self, record: Record) -> str:
        """What is wrong with a row; empty if nothing is. Empty values behind the last column are passed over."""
        count = len(record.values)
        too_few = not self.header and count < len(self.names)
        if too_few or (count > len(self.names) and any(record.values[len(self.names) :])):
            return f"{count} values for {len(self.names)} columns"
        if any(not value.isascii() and SURROGATE.search(value) for value in record.values):
            return "not UTF-8 text (data.encoding)"
        return ""


def text_with_header(path: Path, form: TextForm) -> TextTable:
    """A text file whose first row that is not empty names the columns.

    Raises:
        UserError: the file is missing, empty or no text, or two columns have one name.
    """
    require_text(path, form.encoding)
    pieces = TextPieces(path, form)
    names, line, _ = pieces.header_row(next(pieces.blocks(), b""))
    if not names:
        raise UserError(f"{path}: the file is empty")
    if len(names) > MOST_COLUMNS:
        raise UserError(f"{path}:{line}: more than {MOST_COLUMNS:,} columns; is the separator right (data.separator)?")
    if any(SURROGATE.search(name) for name in names):
        raise UserError(f"{path}:{line}: not UTF-8 text (data.encoding)")
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{path}:{line}: two columns are called {shown(name)}")
    return TextTable(path, tuple(names), form)


def text_without_header(path: Path, names: tuple[str, ...], form: TextForm) -> TextTable:
    """A text file of values only, whose columns are known.

    Raises:
        UserError: the file is missing, empty or no text.
    """
    require_text(path, form.encoding)
    return TextTable(path, names, form, header=False)
