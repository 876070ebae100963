"""What a file of items says about each: its title, and texts of other columns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from recdistill.data.good_rows import read_columns, without_bad_rows
from recdistill.data.texts import label
from recdistill.data.values import BadValueError, parse_ids, parse_titles
from recdistill.tables.tables import Table

logger = logging.getLogger("recdistill")


@dataclass(frozen=True)
class ItemRows:
    """A file of items, read.

    Attributes:
        file: where it lies, for messages; empty where there is no such file.
        ids: the external ids of its rows, each once, in natural order.
        titles: external item id → title, for the items that have one, in file order.
        texts: a column's label → external item id → value, for the items that have one.
        second_titles: how many items have more than one title.
    """

    file: str = ""
    ids: list[str] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    second_titles: int = 0


def read_item_rows(
    table: Table,
    item_column: str,
    title_column: str,
    text_columns: Sequence[str] = (),
    skipped: dict[str, int] | None = None,
    as_written: bool = False,
) -> ItemRows:
    """Read titles and texts. Of several that one item has, the first in the file counts; how many have more is told.

    Args:
        table: the file.
        item_column: holds the external ids.
        title_column: holds the titles; empty: there are none.
        text_columns: hold what more there is to read about an item.
        skipped: takes how many bad rows of the file were left out; None: they are an error.
        as_written: see :func:`recdistill.data.values.parse_ids`.

    Raises:
        UserError: a column or an id is missing, or rows cannot be read.
    """
    columns = list(dict.fromkeys([title_column] * bool(title_column) + list(text_columns)))
    frame, bad = read_columns(table, [item_column, *columns])
    try:
        codes, ids = parse_ids(frame[item_column], table, as_written)
    except BadValueError:  # There may be more of them.
        bad.count = bad.count or 1
    if bad.count:
        frame, bad = read_columns(table, [item_column, *columns])
        frame = without_bad_rows(table, frame, {item_column: "id"}, bad, skipped)
        codes, ids = parse_ids(frame[item_column], table, as_written)
    rows_ids = [ids[code] for code in codes.tolist()]
    read = {column: _first_texts(table, rows_ids, frame[column]) for column in columns}
    titles, second = read.get(title_column, ({}, 0))
    return ItemRows(str(table.path), ids, titles, {label(column): read[column][0] for column in text_columns}, second)


def _first_texts(table: Table, item_ids: list[str], column: pl.Series) -> tuple[dict[str, str], int]:
    """External item id → its first text in the column, and how many items have others as well."""
    found: dict[str, str] = {}
    more: dict[str, tuple[int, str]] = {}
    for row, (item_id, text) in enumerate(zip(item_ids, parse_titles(column, table), strict=True)):
        if text is not None and found.setdefault(item_id, text) != text:
            more.setdefault(item_id, (row, text))
    if more:
        item_id, (row, text) = next(iter(more.items()))
        logger.warning(
            "%s: %d item%s several texts in column %r, of which the first counts: %r is %r, not %r",
            table.places([row])[0],
            len(more),
            " has" if len(more) == 1 else "s have",
            column.name,
            item_id,
            found[item_id],
            text,
        )
    return found, len(more)
