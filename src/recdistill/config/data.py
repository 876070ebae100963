"""Settings of `data`: what to read, which interactions to keep, how to split."""

from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from recdistill.config.rules import (
    ABOVE_ZERO,
    FINITE,
    INNER_SHARE,
    POSITIVE_SHARE,
    at_least,
    check_ranges,
    given,
    require,
    section,
    setting,
    unless,
)
from recdistill.config.source import (
    FILES_ALONE,
    ChosenSource,
    ColumnsConfig,
    CsvFiles,
    DataFrames,
    Decimal,
    ItemsFormConfig,
    MovieLens1M,
    MovieLens100K,
    MovieLensLatest,
    ParquetFiles,
    PlantedConfig,
    ReadyFiles,
    RecBoleFiles,
    Source,
    TextFiles,
    check_form,
    plain_separator,
)
from recdistill.errors import UserError

Split = Literal["leave_one_out", "global_time", "column", "column_events", "files"]
BadRowsChoice = Literal["error", "skip"]
Duplicates = Literal["keep", "first", "last"]


@dataclass(frozen=True)
class DataConfig:
    """What to read, which interactions to keep, how to split."""

    source: Source = "ml-100k"
    """Where the data comes from: a named data set, RecBole atomic files (.inter, .item), CSV/Parquet files, Delta Lake
    tables (parquet), or planted: synthetic data with a signal in the titles; or frames: data frames that `run` is
    called with in Python."""
    path: str = setting("", read_with=unless("data.source", "planted", "frames"))
    """Folder of the data set; or the file of interactions, packed or not, a folder of part files (csv, parquet) or a
    Delta Lake table (parquet). Empty: the user's cache, filled by `recdistill fetch`."""
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
    history_order: Literal["time", "shuffled"] = "time"
    """Order of each user's training interactions. shuffled: a seeded random one, the control for what order is worth;
    validation and test interactions stay behind them."""

    @property
    def chosen(self) -> ChosenSource:
        """The chosen source with its own settings."""
        match self.source:
            case "ml-100k":
                return MovieLens100K(self.path)
            case "ml-1m":
                return MovieLens1M(self.path)
            case "ml-latest":
                return MovieLensLatest(self.path)
            case "recbole":
                return RecBoleFiles(self.path, self.columns, in_parts=self.split == "files")
            case "csv":
                return CsvFiles(self.path, self.items_path, self._ready, self.columns, self._text_files)
            case "parquet":
                return ParquetFiles(self.path, self.items_path, self._ready, self.columns, self._text_files)
            case "planted":
                return self.planted
            case "frames":
                return DataFrames(self.columns)
            case _:
                assert_never(self.source)

    @property
    def _ready(self) -> ReadyFiles | None:
        return ReadyFiles(self.validation_path, self.test_path) if self.split == "files" else None

    @property
    def _text_files(self) -> TextFiles:
        form = (self.separator, self.quote, self.escape, self.encoding, self.decimal)
        return TextFiles(*form, self.names, self.items)

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
        check_form(self, "data")
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
        require(self.history_order == "time", "data.history_order", self.history_order, "time with planted data")
        times = ("leave_one_out", "global_time")
        require(self.split in times, "data.split", self.split, "leave_one_out or global_time with planted data")
        rule = f"data.min_user_events ({self.min_user_events}) or more"
        require(self.planted.events >= self.min_user_events, "data.planted.events", self.planted.events, rule)
