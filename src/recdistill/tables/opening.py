"""Finding tables: CSV and Parquet files, folders of part files, and one table of the ready files of a split."""

from collections.abc import Callable, Sequence
from pathlib import Path

from recdistill.config.source import CsvFiles, ParquetFiles, TextFiles
from recdistill.errors import UserError
from recdistill.tables.delta import delta_table
from recdistill.tables.folders import JoinedTable, Part, folder_table
from recdistill.tables.kinds import is_parquet
from recdistill.tables.table_formats import is_delta
from recdistill.tables.tables import Table, parquet, require_columns
from recdistill.tables.text_pieces import TextForm
from recdistill.tables.text_tables import text_with_header, text_without_header

PART_COLUMN = "part of the split"
"""What the column is called that says which of the ready files of a split an interaction stands in."""


def events_form(text: TextFiles) -> TextForm:
    """How CSV files of interactions are written."""
    quote, escape = ("" if value == "none" else value for value in (text.quote, text.escape))
    return TextForm(text.separator, quote, escape, text.encoding or "utf-8", text.decimal)


def items_form(text: TextFiles) -> TextForm:
    """How CSV files of items are written: as the interactions where nothing else is said."""
    form, own = events_form(text), text.items
    quote, escape = ("" if value == "none" else value for value in (own.quote, own.escape))
    return TextForm(
        separator=own.separator or form.separator,
        quote=quote if own.quote else form.quote,
        escape=escape if own.escape else form.escape,
        encoding=own.encoding or form.encoding,
        decimal=form.decimal,
    )


def events_table(path: Path, source: CsvFiles | ParquetFiles) -> Table:
    """A file or folder of interactions.

    Raises:
        UserError: a file is missing, empty, broken, or something else than it should be; or a Delta Lake table is to be
            read without a column of times.
    """
    if is_delta(path) and not source.columns.timestamp:
        raise UserError(
            f"data.columns.timestamp: {path} is a Delta Lake table, which keeps no order of rows, so times are needed"
        )
    if isinstance(source, ParquetFiles):
        return _file_or_folder(path, parquet)
    form, names = events_form(source.text), source.text.names
    return _file_or_folder(path, lambda file: _text(file, form, names))


def items_table(path: Path, form: TextForm, names: Sequence[str] = ()) -> Table:
    """A file or folder of items with named columns: Parquet by its content, CSV otherwise.

    Args:
        path: the file or folder.
        form: how text is written.
        names: of the columns, where the first line does not hold them.

    Raises:
        UserError: a file is missing, empty, broken, or something else than it should be.
    """
    return _file_or_folder(path, lambda file: parquet(file) if is_parquet(file) else _text(file, form, names))


def split_table(path: Path, tables: dict[str, Table], wanted: Sequence[str]) -> JoinedTable:
    """One table of the ready files of a split, with a column :data:`PART_COLUMN`.

    Args:
        path: what they are called together.
        tables: by the part's name, in order.
        wanted: columns that all must have.

    Raises:
        UserError: one lacks a column.
    """
    for table in tables.values():
        require_columns(table, wanted)
    return JoinedTable(path, tuple(Part(table, {PART_COLUMN: part}) for part, table in tables.items()))


def _file_or_folder(path: Path, open_one: Callable[[Path], Table]) -> Table:
    if is_delta(path):
        return delta_table(path, open_one)
    return folder_table(path, open_one) if path.is_dir() else open_one(path)


def _text(path: Path, form: TextForm, names: Sequence[str]) -> Table:
    return text_without_header(path, tuple(names), form) if names else text_with_header(path, form)
