"""Items that came after training: those of an items file that a run's catalog does not know."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from recdistill.config import DataConfig
from recdistill.data.id_forms import has_float_form, other_forms
from recdistill.data.item_rows import read_item_rows
from recdistill.data.sources import names_of_items
from recdistill.data.texts import item_texts
from recdistill.errors import UserError
from recdistill.tables.opening import items_form, items_table
from recdistill.tables.tables import require_columns
from recdistill.tables.text_pieces import TextForm

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
        quote: what its values may stand between; empty: nothing.
        escape: what takes a quote's meaning away within quotes; empty: nothing.
        encoding: of its text.
        names: of its columns, where its first line does not hold them.
        bad_rows: `error`, or `skip` to leave out rows that cannot be read.
    """

    item: str
    title: str
    text: tuple[str, ...]
    separator: str
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    bad_rows: str = "error"

    @classmethod
    def of(cls, config: DataConfig) -> "ItemColumns":
        """`data.columns` for CSV, Parquet and RecBole sources, `movieId` and `title` for ml-latest, `item_id`
        and `title` for the others, whose own files of items have other forms; `data.text`; and how it is written.
        """
        names, text = names_of_items(config.chosen)
        form = items_form(text)
        return cls(
            names.item,
            names.title,
            config.text,
            form.separator,
            form.quote,
            form.escape,
            form.encoding,
            text.items.names,
            config.bad_rows,
        )

    @property
    def form(self) -> TextForm:
        """How a CSV file is written."""
        return TextForm(self.separator, self.quote, self.escape, self.encoding)


def read_new_items(path: Path, known: Collection[str], columns: ItemColumns) -> NewItems:
    """Items of a CSV or Parquet file that have a title and are not among the known ones.

    A catalog with an id such as `7.0` was read from a column with fractions, whose ids are codes. The ids of the file
    are then taken as they are written, also where none of them has a fraction.

    Args:
        path: the file. A whole catalog will do, since known items are passed over.
        known: external ids that the run knows.
        columns: how the file is read.

    Raises:
        UserError: the file or a column is missing, an id is missing, or no new item has a title.
    """
    table = items_table(path, columns.form, columns.names)
    require_columns(table, [columns.item, columns.title, *columns.text])
    skipped: dict[str, int] | None = {} if columns.bad_rows == "skip" else None
    rows = read_item_rows(table, columns.item, columns.title, columns.text, skipped, has_float_form(known))
    if skipped:
        logger.warning("%s: %d bad rows left out", path, sum(skipped.values()))
    titles = {item_id: title for item_id, title in rows.titles.items() if item_id not in known}
    new = [item_id for item_id in rows.ids if item_id not in known]
    if not titles:
        raise UserError(f"{path}: none of its items is both new and has a title")
    passed_over = len(rows.ids) - len(new)
    logger.info("%s: %d known, %d without a title, %d new", path, passed_over, len(new) - len(titles), len(titles))
    if forms := other_forms(titles, known):
        here, there = next(iter(forms.items()))
        logger.warning(
            "%s: %d of the new items %s the id of a known one but for the way it is written, such as %r and %r",
            path,
            len(forms),
            "has" if len(forms) == 1 else "have",
            here,
            there,
        )
    texts = item_texts(["", *titles], ["", *titles.values()], rows.texts)[1:]
    return NewItems(list(titles), list(titles.values()), texts)
