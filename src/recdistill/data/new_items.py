"""Items that came after training: those of an items file that a run's catalog does not know."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.sources import MOVIELENS_CSV, by_item, items_table
from recdistill.data.tables import require_columns
from recdistill.data.texts import item_texts, label
from recdistill.data.values import parse_ids
from recdistill.errors import UserError

logger = logging.getLogger("recdistill")


class NewItems(NamedTuple):
    """M new items in the file's order.

    Attributes:
        item_ids: M external ids.
        titles: M titles.
        texts: M texts that the titles' encoder reads: the titles, or more (`data.text`).
    """

    item_ids: list[str]
    titles: list[str]
    texts: list[str]


class ItemColumns(NamedTuple):
    """How a file of new items is read.

    Attributes:
        item: the column of the external ids.
        title: that of the titles.
        text: those of what more the titles' encoder reads.
        separator: what stands between two values of a CSV file.
    """

    item: str
    title: str
    text: tuple[str, ...]
    separator: str

    @classmethod
    def of(cls, config: DataConfig) -> "ItemColumns":
        """`data.columns` for CSV and Parquet sources, `movieId` and `title` for ml-latest, `item_id` and `title` for
        the others, whose own files of items have other forms; and `data.text`.
        """
        named = {"csv": config.columns, "parquet": config.columns, "ml-latest": MOVIELENS_CSV}
        names = named.get(config.source, ColumnsConfig())
        return cls(names.item, names.title, config.text, config.separator)


def read_new_items(path: Path, known: Collection[str], columns: ItemColumns) -> NewItems:
    """Items of a CSV or Parquet file that have a title and are not among the known ones.

    Args:
        path: the file. A whole catalog will do, since known items are passed over.
        known: external ids that the run knows.
        columns: how the file is read.

    Raises:
        UserError: the file or a column is missing, an id is missing, an item has two different titles, or no new item
            has a title.
    """
    table = items_table(path, columns.separator)
    require_columns(table, [columns.item, columns.title, *columns.text])
    _, ids = parse_ids(table.read([columns.item])[columns.item], table)
    titles = {item: title for item, title in by_item(table, columns.item, columns.title).items() if item not in known}
    passed_over = sum(item in known for item in ids)
    untitled = len(ids) - passed_over - len(titles)
    if not titles:
        raise UserError(f"{path}: none of its items is both new and has a title")
    logger.info("%s: %d known, %d without a title, %d new", path, passed_over, untitled, len(titles))
    values = {label(column): by_item(table, columns.item, column) for column in columns.text}
    texts = item_texts(["", *titles], ["", *titles.values()], values)[1:]
    return NewItems(list(titles), list(titles.values()), texts)
