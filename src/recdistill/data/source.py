"""One opened source: reads its interactions and its items' titles, and names what it reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from recdistill.config.source import ColumnsConfig
from recdistill.data.frames import Frames, FrameTable
from recdistill.data.good_rows import read_columns, without_bad_rows
from recdistill.data.interactions import Interactions
from recdistill.data.item_rows import ItemRows, read_item_rows
from recdistill.data.values import BadValueError, parse_ids, parse_numbers, parse_parts, parse_times
from recdistill.errors import UserError
from recdistill.tables.folders import JoinedTable
from recdistill.tables.tables import Table


@dataclass(frozen=True)
class Source:
    """Files that have been found, and what their columns are called.

    Attributes:
        events: the interactions.
        titles: the item titles; None where there are none.
        columns: names of the columns in both; an empty name: there is no such column, or it is not asked for.
        texts: columns of `titles` that say more about an item.
        skipped: file → bad rows that were left out of it, as far as files have been read; None: they are an error.
    """

    events: Table
    titles: Table | None
    columns: ColumnsConfig
    texts: tuple[str, ...] = ()
    skipped: dict[str, int] | None = None

    @property
    def files(self) -> list[Path]:
        """All files the source is read from."""
        return [file for table in (self.events, self.titles) if table is not None for file in table.files]

    @property
    def outside(self) -> list[dict[str, str | None]]:
        """What paths and logs say beside the files' bytes (see :attr:`Part.outside`); empty where they say nothing."""
        tables = (self.events, self.titles)
        said = [one for table in tables if isinstance(table, JoinedTable) for one in table.outside]
        return said if any(said) else []

    @property
    def frames_digest(self) -> str:
        """Names what is read of data frames; empty where files are read."""
        if not isinstance(self.events, FrameTable):
            return ""
        names = self.columns
        of_items = [name for name in (names.item, names.title, *self.texts) if name]
        rating = [names.rating] * (names.rating in self.events.names)
        read = [*wanted_columns(names), *rating, *[names.split] * bool(names.split)]
        return Frames(self.events, cast(FrameTable | None, self.titles)).digest(read, of_items)

    def read_interactions(self, with_ratings: bool) -> Interactions:
        """All interactions in file order.

        Args:
            with_ratings: whether the ratings are needed.

        Raises:
            UserError: a column is missing, or a value is; the message names the file and the line.
        """
        names = self.columns
        if with_ratings and not names.rating:
            raise UserError("data.min_rating: needs the name of a column with ratings in data.columns.rating")
        roles = {names.user: "id", names.item: "id"}
        roles |= {names.timestamp: "time"} if names.timestamp else {}
        roles |= {names.rating: "number"} if with_ratings else {}
        roles |= {names.split: "part"} if names.split else {}
        columns, bad = read_columns(self.events, list(roles))
        if not bad.count:
            try:
                return self._interactions(columns, with_ratings)
            except BadValueError:  # There may be more of them: all are told, or left out.
                pass
            # Read again only here, where nothing of the first try is held any more.
            columns, bad = read_columns(self.events, list(roles))
        return self._interactions(without_bad_rows(self.events, columns, roles, bad, self.skipped), with_ratings)

    def _interactions(self, columns: dict[str, pl.Series], with_ratings: bool) -> Interactions:
        """Events from columns, which are taken out of `columns` one by one.

        Raises:
            BadValueError: a value is missing or wrong.
        """
        names = self.columns
        # A column of text is dropped as soon as it has been read: at 20 million interactions each counts.
        users, user_ids = parse_ids(columns.pop(names.user), self.events)
        items, item_ids = parse_ids(columns.pop(names.item), self.events)
        times = parse_times(columns.pop(names.timestamp), self.events) if names.timestamp else None
        ratings = parse_numbers(columns.pop(names.rating), self.events) if with_ratings else None
        return Interactions(
            users=users,
            items=items,
            times=np.arange(len(users), dtype=np.int64) if times is None else times.to_numpy(),
            ratings=None if ratings is None else ratings.to_numpy(),
            user_ids=user_ids,
            item_ids=item_ids,
            parts=parse_parts(columns.pop(names.split), self.events) if names.split else None,
        )

    def read_items(self) -> ItemRows:
        """What the items' file says about them; nothing where there is none.

        Raises:
            UserError: an id is missing.
        """
        if self.titles is None:
            return ItemRows()
        names = self.columns
        return read_item_rows(self.titles, names.item, names.title, self.texts, self.skipped)


def wanted_columns(names: ColumnsConfig) -> list[str]:
    """Columns that the interactions must have."""
    return [names.user, names.item] + [names.timestamp] * bool(names.timestamp)
