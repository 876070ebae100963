"""Settings of `data`: what to read, which interactions to keep, how to split."""

from dataclasses import dataclass, field, replace
from typing import Literal

from recdistill.config.rules import (
    ABOVE_ZERO,
    FINITE,
    INNER_SHARE,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_SHARE,
    at_least,
    between,
    check_ranges,
    given,
    require,
    section,
    setting,
    unless,
)
from recdistill.errors import UserError

Source = Literal["ml-100k", "ml-1m", "ml-latest", "recbole", "csv", "parquet", "planted", "frames"]
Split = Literal["leave_one_out", "global_time", "column", "column_events", "files"]
BadRowsChoice = Literal["error", "skip"]
Decimal = Literal[".", ","]
Duplicates = Literal["keep", "first", "last"]

FILES_ALONE = given("data.source", "csv", "parquet")
NAMED_COLUMNS = given("data.source", "csv", "parquet", "recbole", "frames")


def plain_separator(text: str) -> str:
    """A separator as it is, where it is written out: `tab` or a backslash and a t."""
    return "\t" if text in ("tab", "\\t") else text


def _check_form(form: "DataConfig | ItemsFormConfig", prefix: str) -> None:
    """Check how a text file is said to be written; empty values mean the other file's."""
    one = "one character, neither a line end nor the separator"
    for name in ("quote", "escape"):
        value = getattr(form, name)
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
        _check_form(self, "data.items")


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
class DataConfig:
    """What to read, which interactions to keep, how to split."""

    source: Source = "ml-100k"
    """Where the data comes from: a named data set, RecBole atomic files (.inter, .item), CSV/Parquet files, or
    planted: synthetic data with a signal in the titles; or frames: data frames that `run` is called with in Python."""
    path: str = setting("", read_with=unless("data.source", "planted", "frames"))
    """Folder of the data set; or the file of interactions, packed or not, or a folder of part files (csv, parquet).
    Empty: the user's cache, filled by `recdistill fetch`."""
    validation_path: str = setting("", read_with=FILES_ALONE)
    """split files: the file or folder of validation interactions; `data.path` is that of the training interactions
    (csv, parquet)."""
    test_path: str = setting("", read_with=FILES_ALONE)
    """split files: the file or folder of test interactions (csv, parquet)."""
    items_path: str = setting("", read_with=FILES_ALONE)
    """File or folder with item titles, CSV or Parquet (csv, parquet). Empty: no item has a title, and a teacher learns
    from ids alone."""
    text: tuple[str, ...] = ()
    """Columns of the items file that title embeddings are made from beside the title, such as genres. Empty: titles."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Column names, for csv, parquet and recbole."""
    planted: PlantedConfig = section(PlantedConfig, read_with=given("data.source", "planted"))
    """What is generated, for planted."""
    separator: str = setting(",", read_with=FILES_ALONE)
    """Column separator of CSV files: a character, several, or `tab`."""
    quote: str = setting('"', read_with=FILES_ALONE)
    """Character that may enclose values of CSV files, or none: quotes are plain characters."""
    escape: str = setting("", read_with=FILES_ALONE)
    r"""Character that takes a quote's meaning away within quotes, such as the backslash of Spark and MySQL. Empty:
    quotes are doubled there."""
    encoding: str = setting("", read_with=FILES_ALONE)
    """Encoding of CSV files, such as latin-1, cp1252, shift_jis or utf-16. Empty: UTF-8."""
    decimal: Decimal = setting(".", read_with=FILES_ALONE)
    """Decimal mark of times and ratings in CSV files."""
    names: tuple[str, ...] = setting((), read_with=FILES_ALONE)
    """Names of the columns of CSV files of interactions whose first line does not hold them. Empty: it does."""
    items: ItemsFormConfig = section(ItemsFormConfig, read_with=FILES_ALONE)
    """How the items file is written, where it is not as the interactions are."""
    bad_rows: BadRowsChoice = "error"
    """What to do about rows that cannot be read or lack an id or a time: error names the first twenty and counts them,
    skip leaves them out and counts them."""
    min_rating: float | None = setting(None, FINITE)
    """Keep interactions rated this or higher. null: keep all."""
    min_user_events: int = setting(5, at_least(3))
    """Users with fewer interactions are dropped, items likewise, until all that are left have enough (k-core). At least
    3."""
    min_item_events: int = setting(1, at_least(1))
    """Items with fewer interactions are dropped (k-core, together with `min_user_events`)."""
    duplicates: Duplicates = "first"
    """A user's repeated interactions on one item: keep all, or only the first or last in time."""
    split: Split = "leave_one_out"
    """leave_one_out: a user's last interaction is test, the one before validation. global_time: two moments cut them
    all. column: whole users, as `data.columns.split` says; of validation and test users only the last interaction is a
    target. column_events: each interaction, as `data.columns.split` says. files: each interaction by its file
    (`data.path`, `data.validation_path`, `data.test_path`; RecBole's X.train.inter, X.valid.inter and X.test.inter)."""
    validation_fraction: float = setting(0.1, INNER_SHARE, read_with=given("data.split", "global_time"))
    """global_time: share of all interactions, in time order, between the two moments (0 to 1)."""
    test_fraction: float = setting(0.1, INNER_SHARE, read_with=given("data.split", "global_time"))
    """global_time: share of all interactions after the second moment (0 to 1)."""
    limit_rows: int | None = setting(None, ABOVE_ZERO)
    """At most this many training targets, taken by whole users in a seeded sample. null: all."""
    train_user_fraction: float = setting(1.0, POSITIVE_SHARE)
    """Share of the users that are trained on, a seeded sample (0 to 1); everybody is validated and tested. For learning
    curves: a smaller share is a part of a larger one, and the targets are the same."""

    def without_paths(self) -> "DataConfig":
        """The same wherever its files lie: two of these are equal where nothing but the paths differs."""
        return replace(
            self,
            path=self.path and "-",
            items_path=self.items_path and "-",
            validation_path=self.validation_path and "-",
            test_path=self.test_path and "-",
        )

    def __post_init__(self) -> None:
        """Check ranges."""
        object.__setattr__(self, "separator", plain_separator(self.separator))
        require(self.separator != "", "data.separator", self.separator, "a character or several")
        require(self.quote != "", "data.quote", self.quote, "one character, or none")
        _check_form(self, "data")
        check_ranges(self, "data")
        total = self.validation_fraction + self.test_fraction
        require(total < 1, "data.validation_fraction + data.test_fraction", total, "below 1")
        require(len(set(self.text)) == len(self.text), "data.text", self.text, "without repetitions")
        if self.source in ("csv", "parquet", "recbole") and not self.path:
            raise UserError(f"data.path: needed for data.source {self.source}: the file to read")
        self._check_files()
        self.planted.check("data.planted")
        if self.source == "planted":
            self._check_planted()

    def _check_files(self) -> None:
        """Ready files for each part of a split are there together or not at all."""
        given = {name: getattr(self, name) for name in ("validation_path", "test_path")}
        for name, value in given.items():
            if self.split == "files" and self.source in ("csv", "parquet"):
                require(value != "", f"data.{name}", value, "a file with data.split files")
            elif value and self.source in ("csv", "parquet"):
                raise UserError(f"data.{name}: {value!r} is read with data.split files only")
        named = self.source in ("csv", "parquet", "recbole")
        require(named or self.split != "files", "data.split", self.split, "another one with this data.source")

    def _check_planted(self) -> None:
        """Generated data stays whole, since its rule is about all interactions; it has no ratings and no columns."""
        for name, value in {"min_item_events": 1, "min_rating": None, "text": (), "limit_rows": None}.items():
            found = getattr(self, name)
            require(found == value, f"data.{name}", found, f"{value!r} with data.source planted")
        times = ("leave_one_out", "global_time")
        require(self.split in times, "data.split", self.split, "leave_one_out or global_time with planted data")
        rule = f"data.min_user_events ({self.min_user_events}) or more"
        require(self.planted.events >= self.min_user_events, "data.planted.events", self.planted.events, rule)
