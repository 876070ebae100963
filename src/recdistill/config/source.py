"""Data sources: their settings, and what each hands to the code that opens it.

:attr:`recdistill.config.DataConfig.chosen` makes one of :data:`ChosenSource` of the keys under `data`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from recdistill.config.rules import (
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_SHARE,
    between,
    check_ranges,
    given,
    require,
    setting,
)
from recdistill.errors import UserError

Source = Literal["ml-100k", "ml-1m", "ml-latest", "recbole", "csv", "parquet", "planted", "frames"]
Decimal = Literal[".", ","]

FILES_ALONE = given("data.source", "csv", "parquet")
NAMED_COLUMNS = given("data.source", "csv", "parquet", "recbole", "frames")


def plain_separator(text: str) -> str:
    """A separator as it is, where it is written out: `tab` or a backslash and a t."""
    return "\t" if text in ("tab", "\\t") else text


class WrittenAs(Protocol):
    """How text files are said to be written, in `data` and in `data.items`."""

    @property
    def separator(self) -> str:
        """What stands between two values."""

    @property
    def quote(self) -> str:
        """What values may stand between."""

    @property
    def escape(self) -> str:
        """What takes a quote's meaning away."""

    @property
    def encoding(self) -> str:
        """Of the text."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""


def check_form(form: WrittenAs, prefix: str) -> None:
    """Check how a text file is said to be written; empty values mean the other file's."""
    one = "one character, neither a line end nor the separator"
    for name, value in {"quote": form.quote, "escape": form.escape}.items():
        is_one = len(value) == 1 and value.isascii() and value not in "\r\n" and value != form.separator
        require(value in ("", "none") or is_one, f"{prefix}.{name}", value, one)
    plain = not set(form.separator) & {"\r", "\n"}
    require(plain, f"{prefix}.separator", form.separator, "without line ends")
    if form.encoding:
        try:
            "".encode(form.encoding)
        except LookupError as error:
            raise UserError(f"{prefix}.encoding: {form.encoding!r} is no encoding that Python knows") from error
    require(len(set(form.names)) == len(form.names), f"{prefix}.names", form.names, "without repetitions")


@dataclass(frozen=True)
class ColumnsConfig:
    """Names of the columns in CSV, Parquet and RecBole files (`data.source: csv`, `parquet` or `recbole`)."""

    user: str = setting("user_id", read_with=NAMED_COLUMNS)
    """Column of the user ids (any text or number)."""
    item: str = setting("item_id", read_with=NAMED_COLUMNS)
    """Column of the item ids (any text or number), in the interactions and in the items file."""
    timestamp: str = "timestamp"
    """Column of interaction times: numbers or ISO date-times. '': the file is in time order."""
    rating: str = setting("", read_with=NAMED_COLUMNS)
    """Column of the ratings, for `data.min_rating`. Empty: none (RecBole files: `rating`)."""
    title: str = setting("title", read_with=NAMED_COLUMNS)
    """Column of the item titles in the items file (RecBole files: where it is not there, another usual name)."""
    split: str = setting("split", read_with=given("data.split", "column", "column_events"))
    """Column of the interactions that says train, validation or test, for `data.split: column` or `column_events`."""


@dataclass(frozen=True)
class ItemsFormConfig:
    """How the items file is written, where it is not as the interactions are. Empty: as they are."""

    separator: str = ""
    """Its column separator."""
    quote: str = ""
    """Its quote character, or none."""
    escape: str = ""
    """What takes a quote's meaning away in it."""
    encoding: str = ""
    """Its encoding."""
    names: tuple[str, ...] = ()
    """Names of its columns, where its first line does not hold them. Empty: it does, whatever `data.names` says."""

    def __post_init__(self) -> None:
        """Check the characters; `tab` becomes one."""
        object.__setattr__(self, "separator", plain_separator(self.separator))
        check_form(self, "data.items")


@dataclass(frozen=True)
class PlantedConfig:
    """Generated data with a signal in its titles (`data.source: planted`); the rule is in docs/data.md."""

    users: int = setting(800, POSITIVE)
    """Users."""
    items: int = 1000
    """Items, in equal numbers for each topic."""
    topics: int = setting(40, between(2, 40))
    """Topics; an item's title shows its topic."""
    events: int = 8
    """Interactions of each user."""
    novelty: float = setting(0.5, POSITIVE)
    """Weight of all topics together where a user's latest interaction weighs 1: more means more changes of topic."""
    decay: float = setting(0.8, POSITIVE_SHARE)
    """Weight of an interaction against the one after it (0 to 1): less means that the latest topics count more."""
    seed: int = setting(0, NOT_NEGATIVE)
    """Seed of the generated data; the run's own `seed` does not change it."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
        most = 176 * self.topics
        rule = f"between {prefix}.topics ({self.topics}) and 176 for each of them ({most})"
        require(self.topics <= self.items <= most, f"{prefix}.items", self.items, rule)
        require(3 <= self.events < self.items, f"{prefix}.events", self.events, f"3 or more, and below {prefix}.items")


@dataclass(frozen=True)
class MovieLens100K:
    """MovieLens-100K; an empty path: the user's cache."""

    path: str


@dataclass(frozen=True)
class MovieLens1M:
    """MovieLens-1M; an empty path: the user's cache."""

    path: str


@dataclass(frozen=True)
class MovieLensLatest:
    """MovieLens-latest, of whatever size; an empty path: the user's cache."""

    path: str


@dataclass(frozen=True)
class RecBoleFiles:
    """RecBole's atomic files; `in_parts`: one for each part of the split."""

    path: str
    columns: ColumnsConfig
    in_parts: bool


@dataclass(frozen=True)
class ReadyFiles:
    """Files of the validation and the test interactions, where those to train on have one of their own."""

    validation: str
    test: str


@dataclass(frozen=True)
class TextFiles:
    """How CSV files are written; `items`: where those of items are written otherwise."""

    separator: str = ","
    quote: str = '"'
    escape: str = ""
    encoding: str = ""
    decimal: Decimal = "."
    names: tuple[str, ...] = ()
    items: ItemsFormConfig = ItemsFormConfig()


@dataclass(frozen=True)
class OwnFiles:
    """Somebody's own files. Items may be CSV beside Parquet interactions, so both have the form of text."""

    path: str
    items_path: str
    ready: ReadyFiles | None
    columns: ColumnsConfig
    text: TextFiles


@dataclass(frozen=True)
class CsvFiles(OwnFiles):
    """Interactions in CSV files."""


@dataclass(frozen=True)
class ParquetFiles(OwnFiles):
    """Interactions in Parquet files."""


@dataclass(frozen=True)
class DataFrames:
    """Data frames that `run` is called with in Python."""

    columns: ColumnsConfig


OpenedSource = MovieLens100K | MovieLens1M | MovieLensLatest | RecBoleFiles | CsvFiles | ParquetFiles | DataFrames
ChosenSource = OpenedSource | PlantedConfig
