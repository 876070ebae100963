"""Where interactions and titles come from: the named data sets, RecBole atomic files, CSV and Parquet.

==========  ====================================================  =========================================
source      interactions                                          titles
==========  ====================================================  =========================================
ml-100k     `ml-100k.inter` (RecBole) or `u.data` (GroupLens)     `ml-100k.item` or `u.item`
ml-1m       `ratings.dat`                                         `movies.dat`
ml-latest   `ratings.csv`                                         `movies.csv`
recbole     see :mod:`recdistill.tables.atomic`                     `.item` beside it, if there
csv         `data.path`, a file or a folder of part files         `data.items_path`, if set (CSV or Parquet)
parquet     the same                                              the same
planted     generated, see :mod:`recdistill.data.planted`         generated
frames      data frames, see :mod:`recdistill.data.frames`        a second frame, if given
==========  ====================================================  =========================================

Ids are text, whatever their type in the file. Event times are numbers or ISO date-times. With an empty
`data.columns.timestamp`, CSV, Parquet and RecBole files are taken to be in time order already.
"""

from dataclasses import replace
from pathlib import Path
from typing import assert_never

from recdistill.config import DataConfig, PlantedConfig
from recdistill.config.source import (
    ChosenSource,
    ColumnsConfig,
    CsvFiles,
    DataFrames,
    MovieLens1M,
    MovieLens100K,
    MovieLensLatest,
    OpenedSource,
    ParquetFiles,
    RecBoleFiles,
    TextFiles,
)
from recdistill.data.fetch import cache_folder, check_fetched
from recdistill.data.frames import Frames
from recdistill.data.planted import PlantedSource
from recdistill.data.source import Source, wanted_columns
from recdistill.errors import UserError
from recdistill.tables.atomic import atomic_table, open_atomic, with_items
from recdistill.tables.contents import is_utf8
from recdistill.tables.opening import PART_COLUMN, events_table, items_form, items_table, split_table
from recdistill.tables.tables import require_columns
from recdistill.tables.text_pieces import TextForm
from recdistill.tables.text_tables import text_with_header, text_without_header

MOVIELENS = ColumnsConfig(rating="rating")
MOVIELENS_CSV = ColumnsConfig(user="userId", item="movieId", rating="rating")
RATING_NAMES = ("user_id", "item_id", "rating", "timestamp")


def open_source(config: DataConfig, frames: Frames | None = None) -> Source | PlantedSource:
    """Find the files and read their headers, if there are files to read.

    Args:
        config: what to read.
        frames: what is read with `data.source: frames`.

    Raises:
        UserError: a file or a column is missing, a file is empty, or there are no frames where they are asked for.
    """
    chosen = config.chosen
    if isinstance(chosen, PlantedConfig):
        return PlantedSource(chosen)
    found = _found(chosen, frames)
    if config.text and found.titles is None:
        raise UserError(f"data.text: there is no items file with columns {', '.join(config.text)} (data.items_path)")
    parts = {"column": config.columns.split, "column_events": config.columns.split, "files": PART_COLUMN}
    names = replace(found.columns, split=parts.get(config.split, ""))
    source = replace(found, columns=names, texts=config.text, skipped={} if config.bad_rows == "skip" else None)
    wanted = wanted_columns(names) + [names.split] * bool(names.split)
    all_wanted = wanted + [names.rating] * bool(names.rating)
    if len(set(all_wanted)) < len(all_wanted) or names.title == names.item:
        raise UserError(f"data.columns: one column cannot mean two things ({', '.join(all_wanted)}; {names.title})")
    require_columns(source.events, wanted)
    if source.titles is not None:
        require_columns(source.titles, [name for name in (names.item, names.title, *source.texts) if name])
    return source


def _found(chosen: OpenedSource, frames: Frames | None) -> Source:
    """The files or frames with their own names of columns, before `data.split` and `data.text` are looked at."""
    match chosen:
        case MovieLens100K(path):
            return _ml_100k(_folder(path, "ml-100k"), is_fetched=not path)
        case MovieLens1M(path):
            return _ml_1m(_folder(path, "ml-1m"))
        case MovieLensLatest(path):
            return _ml_latest(_folder(path, "ml-latest"))
        case RecBoleFiles():
            return Source(*open_atomic(chosen))
        case CsvFiles() | ParquetFiles():
            return _own_files(chosen)
        case DataFrames(columns):
            return _frames(columns, frames)
        case _:
            assert_never(chosen)


def names_of_items(source: ChosenSource) -> tuple[ColumnsConfig, TextFiles]:
    """The columns of an items file that comes later, and how it is written where it is text."""
    match source:
        case CsvFiles() | ParquetFiles():
            return source.columns, source.text
        case RecBoleFiles() | DataFrames():
            return source.columns, TextFiles()
        case MovieLensLatest():
            return MOVIELENS_CSV, TextFiles()
        case MovieLens100K() | MovieLens1M() | PlantedConfig():
            return ColumnsConfig(), TextFiles()
        case _:
            assert_never(source)


def _ml_100k(folder: Path, is_fetched: bool) -> Source:
    if (folder / "ml-100k.inter").is_file():
        if is_fetched:
            check_fetched("ml-100k", folder, "data.source")
        titles, columns = with_items(folder / "ml-100k.item", MOVIELENS)
        return Source(atomic_table(folder / "ml-100k.inter"), titles, columns)
    names = ("item_id", "title", *(f"column {number}" for number in range(3, 25)))
    return Source(
        text_without_header(folder / "u.data", RATING_NAMES, TextForm("\t", quote="")),
        text_without_header(folder / "u.item", names, _grouplens("|", folder / "u.item")),
        MOVIELENS,
    )


def _ml_1m(folder: Path) -> Source:
    titles = folder / "movies.dat"
    return Source(
        text_without_header(folder / "ratings.dat", RATING_NAMES, TextForm("::", quote="")),
        text_without_header(titles, ("item_id", "title", "genres"), _grouplens("::", titles)),
        MOVIELENS,
    )


def _grouplens(separator: str, path: Path) -> TextForm:
    """GroupLens' files of titles: the older ones are Latin-1, those of MovieLens-10M and later UTF-8."""
    return TextForm(separator, quote="", encoding="utf-8" if is_utf8(path) else "latin-1")


def _ml_latest(folder: Path) -> Source:
    ratings, movies = (text_with_header(folder / name, TextForm()) for name in ("ratings.csv", "movies.csv"))
    return Source(ratings, movies, MOVIELENS_CSV)


def _own_files(source: CsvFiles | ParquetFiles) -> Source:
    """CSV and Parquet files with the names in `data.columns`."""
    events = events_table(Path(source.path), source)
    if source.ready is not None:
        others = {"validation": source.ready.validation, "test": source.ready.test}
        tables = {"train": events} | {part: events_table(Path(path), source) for part, path in others.items()}
        events = split_table(Path(source.path), tables, wanted_columns(source.columns))
    titles = None
    if source.items_path:
        titles = items_table(Path(source.items_path), items_form(source.text), source.text.items.names)
    return Source(events, titles, source.columns)


def _frames(columns: ColumnsConfig, frames: Frames | None) -> Source:
    """Data frames with the names in `data.columns`."""
    if frames is None:
        raise UserError("data.source: frames are given in Python: run(config, interactions=..., items=...)")
    return Source(frames.interactions, frames.items, columns)


def _folder(path: str, name: str) -> Path:
    """The data set's folder: `data.path`, or its place in the user's cache."""
    folder = Path(path) if path else cache_folder() / name
    if folder.is_dir():
        return folder
    if path:
        raise UserError(f"data.path: {folder} is not a folder")
    fetchable = name == "ml-100k"
    advice = f"run `recdistill fetch {name}`, or set data.path" if fetchable else "set data.path to its folder"
    raise UserError(f"data.source: {name} is not at {folder}; {advice}")
