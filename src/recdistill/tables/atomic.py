"""RecBole's atomic files: tabs, no quotes, and a type behind each name in the header (`user_id:token`).

`X.inter` holds the interactions and `X.item` beside it the items. Benchmark files are an `.inter` file for each part of
a split: `X.train.inter`, `X.valid.inter` and `X.test.inter`. RecBole takes them as they are (`benchmark_filename`): it
neither sorts nor splits their events anew.
"""

import logging
from dataclasses import replace
from pathlib import Path

from recdistill.config.source import ColumnsConfig, RecBoleFiles
from recdistill.errors import UserError
from recdistill.tables.opening import split_table
from recdistill.tables.tables import Table
from recdistill.tables.text_pieces import TextForm
from recdistill.tables.text_tables import TextTable, text_with_header

logger = logging.getLogger("recdistill")

TITLES = ("movie_title", "title", "name", "item_name", "product_title", "product_name", "artist_name", "app_name")
"""Columns that hold titles in `.item` files; the first that is there is taken where `data.columns.title` is not."""

TYPES = ("token", "token_seq", "float", "float_seq")
"""What stands behind the colon in a header."""

BENCHMARK_PARTS = {"train": ("train",), "validation": ("valid", "validation", "val"), "test": ("test",)}
"""Parts of a split, and what their benchmark files may be called."""

FORM = TextForm(separator="\t", quote="")


def open_atomic(source: RecBoleFiles) -> tuple[Table, Table | None, ColumnsConfig]:
    """The interactions, the items where they are there, and the names of the columns, as `data.path` and
    `data.columns` say.

    Raises:
        UserError: a file is missing or empty, or the folder holds several.
    """
    path, names = Path(source.path), source.columns
    if source.in_parts:
        stem, tables = _benchmark_files(path)
        wanted = [names.user, names.item] + [names.timestamp] * bool(names.timestamp)
        events: Table = split_table(stem.with_name(f"{stem.name}.*.inter"), dict(tables), wanted)
    else:
        stem, events = _one_file(path)
    if not names.rating and "rating" in events.names:
        names = replace(names, rating="rating")
    return (events, *with_items(stem.with_name(f"{stem.name}.item"), names))


def with_items(path: Path, names: ColumnsConfig) -> tuple[Table | None, ColumnsConfig]:
    """The `.item` file, if it is there, and the names of the columns with that of the titles in it."""
    if not path.is_file():
        logger.info("%s: no such file; items have no titles", path)
        return None, names
    items = atomic_table(path)
    if names.title in ("", *items.names) or names.title != ColumnsConfig().title:
        return items, names
    title = next((name for name in TITLES if name in items.names), "")
    if not title:
        logger.warning("%s: none of %s is there; items have no titles (data.columns.title)", path, ", ".join(TITLES))
    return items, replace(names, title=title)


def atomic_table(path: Path) -> TextTable:
    """One file; its columns are called without their types.

    Raises:
        UserError: it is missing or empty, or two columns have one name.
    """
    table = text_with_header(path, FORM)
    return replace(table, names=tuple(_without_type(name) for name in table.names))


def _without_type(name: str) -> str:
    before, _, kind = name.rpartition(":")
    return before if kind in TYPES and before else name


def _one_file(path: Path) -> tuple[Path, TextTable]:
    """The path without its ending, and the table."""
    files = sorted(path.glob("*.inter")) if path.is_dir() else [path]
    if len(files) != 1:
        ready = any(file.name.endswith(".train.inter") for file in files)
        advice = "; data.split files reads RecBole's benchmark files" if ready else "; name the one to read"
        raise UserError(f"data.path: {path} holds {len(files)} .inter files{advice}")
    return files[0].with_suffix(""), atomic_table(files[0])


def _benchmark_files(path: Path) -> tuple[Path, dict[str, TextTable]]:
    """What stands before `.train.inter`, and the tables of the parts.

    Args:
        path: the folder, or the file of train interactions.
    """
    found = sorted(path.glob("*.train.inter")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].name.endswith(".train.inter"):
        raise UserError(f"data.path: {path}: with data.split files it is the folder of one X.train.inter, or that file")
    stem = found[0].with_name(found[0].name.removesuffix(".train.inter"))
    tables = {}
    for part, words in BENCHMARK_PARTS.items():
        files = [stem.with_name(f"{stem.name}.{word}.inter") for word in words]
        tables[part] = atomic_table(next((file for file in files if file.is_file()), files[0]))
    return stem, tables
