"""Histories in a data frame, and answers in a frame of the same library."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recdistill.config import ColumnsConfig
from recdistill.data.frames import frame_table, like
from recdistill.data.values import parse_ids, parse_times


@dataclass(frozen=True)
class Histories:
    """The users of a data frame.

    Attributes:
        users: their external ids, in the order of their first rows.
        histories: the external ids of each user's items, oldest first.
        columns: what the columns are called.
        types: types of the answer's user and item columns.
    """

    users: list[str]
    histories: list[list[str]]
    columns: ColumnsConfig
    types: tuple[pl.DataType, pl.DataType]

    def answer(self, rows: dict[str, list[Any]], given: Any) -> Any:
        """A frame like `given` with the columns `user`, `item`, `rank`, `title` and `score` of `rows`."""
        frame = pl.DataFrame(
            [
                pl.Series(self.columns.user, rows["user"], dtype=pl.String).cast(self.types[0]),
                pl.Series(self.columns.item, rows["item"], dtype=pl.String).cast(self.types[1]),
                pl.Series("rank", rows["rank"], dtype=pl.Int64),
                pl.Series("title", rows["title"], dtype=pl.String),
                pl.Series("score", rows["score"], dtype=pl.Float64),
            ]
        )
        return like(frame, given)


def read_histories(interactions: Any, columns: ColumnsConfig) -> Histories:
    """The histories of a data frame's users; interactions of one time keep their rows' order.

    Raises:
        UserError: it is no data frame, it has no rows, a column or a value is missing.
    """
    table = frame_table(interactions, "interactions")
    timed = [columns.timestamp] * bool(columns.timestamp)
    frame = table.read([columns.user, columns.item, *timed])
    users, user_ids = parse_ids(frame[columns.user], table)
    items, item_ids = parse_ids(frame[columns.item], table)
    times = parse_times(frame[columns.timestamp], table).to_numpy() if timed else np.arange(len(users))
    _, first = np.unique(users, return_index=True)
    place = np.empty(len(user_ids), dtype=np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(user_ids))
    order = np.lexsort((times, place[users]))
    bounds = np.flatnonzero(np.diff(place[users[order]])) + 1
    histories = [[item_ids[item] for item in part.tolist()] for part in np.split(items[order], bounds)]
    names = [user_ids[users[row]] for row in np.sort(first).tolist()]
    types = tuple(_answered(frame[name].dtype) for name in (columns.user, columns.item))
    return Histories(names, histories, columns, (types[0], types[1]))


def _answered(kind: pl.DataType) -> pl.DataType:
    """Whole numbers stay what they are; all other ids are text."""
    return kind if kind.is_integer() else pl.String()
