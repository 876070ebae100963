"""Where interactions and titles come from: the named data sets, RecBole atomic files, CSV and Parquet.

==========  ====================================================  =========================================
source      interactions                                          titles
==========  ====================================================  =========================================
ml-100k     `ml-100k.inter` (RecBole) or `u.data` (GroupLens)     `ml-100k.item` or `u.item`
ml-1m       `ratings.dat`                                         `movies.dat`
ml-latest   `ratings.csv`                                         `movies.csv`
recbole     the folder's one `.inter` file, or the file itself    `.item` beside it, if there
csv         `data.path`                                           `data.items_path`, if set
parquet     `data.path`                                           `data.items_path`, if set (CSV or Parquet)
planted     generated, see :mod:`recdistill.data.planted`         generated
==========  ====================================================  =========================================

Ids are text, whatever their type in the file. Event times are numbers or ISO date-times. With an empty
`data.columns.timestamp`, CSV, Parquet and RecBole files are taken to be in time order already. RecBole's title is the
first of :data:`ATOMIC_TITLES` that is there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.interactions import Interactions
from recdistill.data.item_rows import ItemRows, read_item_rows
from recdistill.data.planted import PlantedSource
from recdistill.data.tables import Table, TextTable, parquet, require_columns, text_with_header, text_without_header
from recdistill.data.values import parse_ids, parse_numbers, parse_parts, parse_times
from recdistill.errors import UserError

logger = logging.getLogger("recdistill")

ATOMIC_TITLES = ("movie_title", "title", "name", "item_name", "product_title", "product_name", "artist_name")
"""Columns that hold titles in RecBole's `.item` files; the first that is there is taken."""

MOVIELENS = ColumnsConfig(rating="rating")
MOVIELENS_CSV = ColumnsConfig(user="userId", item="movieId", rating="rating")
RATING_NAMES = ("user_id", "item_id", "rating", "timestamp")


@dataclass(frozen=True)
class Source:
    """Files that have been found, and what their columns are called.

    Attributes:
        events: the interactions.
        titles: the item titles; None where there are none.
        columns: names of the columns in both; an empty name: there is no such column, or it is not asked for.
        texts: columns of `titles` that say more about an item.
    """

    events: Table
    titles: Table | None
    columns: ColumnsConfig
    texts: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files the source is read from."""
        return [table.path for table in (self.events, self.titles) if table is not None]

    def read_interactions(self, with_ratings: bool) -> Interactions:
        """All events in file order.

        Args:
            with_ratings: whether the ratings are needed.

        Raises:
            UserError: a column is missing, or a value is; the message names the file and the line.
        """
        names = self.columns
        if with_ratings and not names.rating:
            raise UserError("data.min_rating: needs the name of a column with ratings in data.columns.rating")
        wanted = [names.user, names.item] + [names.timestamp] * bool(names.timestamp) + [names.rating] * with_ratings
        wanted += [names.split] * bool(names.split)
        frame = self.events.read(wanted)
        # A column of text is dropped as soon as it has been read: at 20 million events each counts.
        users, user_ids = parse_ids(frame[names.user], self.events)
        items, item_ids = parse_ids(frame[names.item], self.events)
        frame = frame.drop(names.user, names.item)
        times = parse_times(frame[names.timestamp], self.events) if names.timestamp else None
        ratings = parse_numbers(frame[names.rating], self.events) if with_ratings else None
        return Interactions(
            users=users,
            items=items,
            times=np.arange(len(users), dtype=np.int64) if times is None else times.to_numpy(),
            ratings=None if ratings is None else ratings.to_numpy(),
            user_ids=user_ids,
            item_ids=item_ids,
            parts=parse_parts(frame[names.split], self.events) if names.split else None,
        )

    def read_items(self) -> ItemRows:
        """What the items' file says about them; nothing where there is none.

        Raises:
            UserError: an id is missing.
        """
        if self.titles is None:
            return ItemRows()
        return read_item_rows(self.titles, self.columns.item, self.columns.title, self.texts)


def open_source(config: DataConfig) -> Source | PlantedSource:
    """Find the files and read their headers, if there are files to read.

    Raises:
        UserError: a file or a column is missing, or a file is empty.
    """
    if config.source == "planted":
        return PlantedSource(config.planted)
    found = OPENERS[config.source](config)
    if config.text and found.titles is None:
        raise UserError(f"data.text: there is no items file with columns {', '.join(config.text)} (data.items_path)")
    names = replace(found.columns, split=config.columns.split if config.split == "column" else "")
    source = replace(found, columns=names, texts=config.text)
    wanted = [names.user, names.item] + [names.timestamp] * bool(names.timestamp) + [names.split] * bool(names.split)
    all_wanted = wanted + [names.rating] * bool(names.rating)
    if len(set(all_wanted)) < len(all_wanted) or names.title == names.item:
        raise UserError(f"data.columns: one column cannot mean two things ({', '.join(all_wanted)}; {names.title})")
    require_columns(source.events, wanted)
    if source.titles is not None:
        require_columns(source.titles, [name for name in (names.item, names.title, *source.texts) if name])
    return source


def _ml_100k(config: DataConfig) -> Source:
    folder = _folder(config, "ml-100k")
    if (folder / "ml-100k.inter").is_file():
        return _atomic(folder / "ml-100k.inter", MOVIELENS)
    names = ("item_id", "title", *(f"column {number}" for number in range(3, 25)))
    return Source(
        text_without_header(folder / "u.data", RATING_NAMES, "\t"),
        text_without_header(folder / "u.item", names, "|", "latin-1"),
        MOVIELENS,
    )


def _ml_1m(config: DataConfig) -> Source:
    folder = _folder(config, "ml-1m")
    return Source(
        text_without_header(folder / "ratings.dat", RATING_NAMES, "::"),
        text_without_header(folder / "movies.dat", ("item_id", "title", "genres"), "::", "latin-1"),
        MOVIELENS,
    )


def _ml_latest(config: DataConfig) -> Source:
    folder = _folder(config, "ml-latest")
    ratings, movies = (text_with_header(folder / name, ",", quotes=True) for name in ("ratings.csv", "movies.csv"))
    return Source(ratings, movies, MOVIELENS_CSV)


def _recbole(config: DataConfig) -> Source:
    path = Path(config.path)
    files = sorted(path.glob("*.inter")) if path.is_dir() else [path]
    if len(files) != 1:
        raise UserError(f"data.path: {path} holds {len(files)} .inter files; name the one to read")
    columns = replace(MOVIELENS, timestamp="timestamp" if config.columns.timestamp else "")
    return _atomic(files[0], columns)


def _atomic(path: Path, columns: ColumnsConfig) -> Source:
    """RecBole's atomic files: tabs, and a type behind each name in the header (`user_id:token`)."""
    events, items = _atomic_table(path), path.with_suffix(".item")
    if not items.is_file():
        logger.info("%s: no such file; items are called by their ids", items)
        return Source(events, None, columns)
    titles = _atomic_table(items)
    title = next((name for name in ATOMIC_TITLES if name in titles.names), "")
    if not title:
        logger.warning("%s: none of %s is there; items are called by their ids", items, ", ".join(ATOMIC_TITLES))
    return Source(events, titles, replace(columns, title=title))


def _atomic_table(path: Path) -> TextTable:
    table = text_with_header(path, "\t", quotes=False)
    return replace(table, names=tuple(name.rpartition(":")[0] or name for name in table.names))


def _columns_file(config: DataConfig) -> Source:
    """CSV and Parquet files with the names in `data.columns`."""
    if not config.separator.isascii():
        raise UserError(f"data.separator: {config.separator!r} is not an ASCII character")
    path = Path(config.path)
    events = parquet(path) if config.source == "parquet" else text_with_header(path, config.separator, quotes=True)
    titles = items_table(Path(config.items_path), config.separator) if config.items_path else None
    return Source(events, titles, config.columns)


def items_table(path: Path, separator: str) -> Table:
    """A file of items with named columns: Parquet by its name's ending, CSV otherwise.

    Raises:
        UserError: the file is missing, empty or broken.
    """
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    return parquet(path) if is_parquet else text_with_header(path, separator, quotes=True)


def _folder(config: DataConfig, name: str) -> Path:
    """The data set's folder: `data.path`, or its place in the user's cache."""
    folder = Path(config.path) if config.path else cache_folder() / name
    if folder.is_dir():
        return folder
    if config.path:
        raise UserError(f"data.path: {folder} is not a folder")
    fetchable = name == "ml-100k"
    advice = f"run `recdistill fetch {name}`, or set data.path" if fetchable else "set data.path to its folder"
    raise UserError(f"data.source: {name} is not at {folder}; {advice}")


OPENERS: dict[str, Callable[[DataConfig], Source]] = {
    "ml-100k": _ml_100k,
    "ml-1m": _ml_1m,
    "ml-latest": _ml_latest,
    "recbole": _recbole,
    "csv": _columns_file,
    "parquet": _columns_file,
}
