"""Data frames of three libraries in place of files."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.frames import Frames, frame_table, like, to_polars
from recdistill.data.histories import read_histories
from recdistill.data.prepare import source_fingerprint
from recdistill.data.source import Source
from recdistill.data.sources import open_source
from recdistill.errors import UserError

DAY = dt.datetime(2024, 5, 1, 18, 30, tzinfo=dt.UTC)


class Arrow:
    """A table of some library that speaks Arrow's C stream interface and is neither polars nor pandas."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.frame.__arrow_c_stream__(requested_schema)


COLUMNS: list[tuple[Any, list[Any]]] = [
    (pd.array([1, 2, 3]), [1, 2, 3]),
    (np.array([1.0, np.nan, 3.0]), [1.0, None, 3.0]),
    (pd.array([1, None, 3], dtype="Int64"), [1, None, 3]),
    (["a", None, "ç"], ["a", None, "ç"]),
    (pd.array(["a", pd.NA, "b"], dtype="string"), ["a", None, "b"]),
    (pd.Categorical(["x", None, "x"]), ["x", None, "x"]),
    (pd.Categorical([7, 8, 7]), [7, 8, 7]),
    (np.array([1, "b", None], dtype=object), ["1", "b", None]),
    (np.array([dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)]), [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)]),
    ([None, None, None], [None, None, None]),
]


@pytest.mark.parametrize(("column", "expected"), COLUMNS, ids=lambda one: str(one)[:30].replace("\n", " "))
def test_a_pandas_column_keeps_its_values_and_missing_ones_are_null(column: Any, expected: list[Any]) -> None:
    frame = pd.DataFrame({"c": column}, index=[5, 5, 1])  # An index says nothing.
    assert to_polars(frame, "interactions")["c"].to_list() == expected


def test_pandas_moments_are_utc_moments() -> None:
    plain = pd.DataFrame({"t": pd.to_datetime(["2024-05-01 18:30", None])})
    assert to_polars(plain, "x")["t"].to_list() == [DAY.replace(tzinfo=None), None]
    zoned = pd.DataFrame({"t": pd.to_datetime(["2024-05-02 03:30", None]).tz_localize("Asia/Tokyo")})
    assert to_polars(zoned, "x")["t"].to_list() == [DAY, None]


def test_what_is_no_frame_is_refused() -> None:
    for wrong in ({"user_id": [1]}, [1, 2], "events.csv"):
        with pytest.raises(UserError, match=r"^items: \w+ is not a polars, pandas or Arrow data frame$"):
            frame_table(wrong, "items")
    with pytest.raises(UserError, match=r"^items: two columns are called 'a'$"):
        frame_table(pd.DataFrame([[1, 2]], columns=["a", "a"]), "items")


def frames(make: Any = pl.DataFrame, last: int = 3) -> tuple[Any, Any]:
    """Three users' interactions in text and whole numbers, and the items' titles."""
    users = ["u", "u", "v", "v", "w", "u", "v", "w", "w"]
    items = [1, 2, 1, 3, 2, 3, 2, 1, last]
    times = [10, 20, 10, 20, 10, 30, 30, 20, 30]
    events = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times})
    titles = pl.DataFrame({"item_id": [1, 2, 3], "title": ["one", None, "three"]})
    if make is pd.DataFrame:
        return tuple(pd.DataFrame(frame.to_dict(as_series=False)) for frame in (events, titles))
    return make(events), make(titles)


CONFIG = DataConfig(source="frames", min_user_events=3)


@pytest.mark.parametrize("make", [pl.DataFrame, pl.LazyFrame, pd.DataFrame, Arrow])
def test_every_library_gives_the_same_interactions_titles_and_fingerprint(make: Any) -> None:
    given = Frames.of(*frames(make if make is not pl.LazyFrame else lambda frame: frame.lazy()))
    source = open_source(CONFIG, given)
    assert isinstance(source, Source)
    read = source.read_interactions(with_ratings=False)
    assert read.user_ids == ["u", "v", "w"]
    assert read.item_ids == ["1", "2", "3"]
    assert read.items.tolist() == [0, 1, 0, 2, 1, 2, 1, 0, 2]
    assert source.read_items().titles == {"1": "one", "3": "three"}
    assert source_fingerprint(CONFIG, given) == source_fingerprint(CONFIG, Frames.of(*frames()))


def test_the_fingerprint_follows_what_is_read_and_nothing_else() -> None:
    events, titles = frames()
    one = source_fingerprint(CONFIG, Frames.of(events, titles))
    assert one == source_fingerprint(CONFIG, Frames.of(events.with_columns(note=pl.lit("x")), titles))
    assert one == source_fingerprint(CONFIG, Frames.of(pl.concat([events[:4], events[4:]], rechunk=False), titles))
    others = [
        frames(last=2),
        (events[::-1], titles),
        (events, titles.with_columns(title=pl.lit("one"))),
        (events, None),
        (events.with_columns(timestamp=pl.Series([None, *events["timestamp"][1:]])), titles),
    ]
    found = [source_fingerprint(CONFIG, Frames.of(*other)) for other in others]
    assert len({one, *found}) == len(found) + 1


def test_mistakes_in_a_frame_are_named_by_their_rows() -> None:
    events, titles = frames()
    with pytest.raises(UserError, match="interactions: no column 'user_id'; it has 'reader', 'item_id', 'timestamp'"):
        open_source(CONFIG, Frames.of(events.rename({"user_id": "reader"}), titles))
    wrong = events.with_columns(timestamp=pl.Series(["soon", *map(str, events["timestamp"][1:])]))
    source = open_source(CONFIG, Frames.of(wrong, titles))
    with pytest.raises(UserError, match="interactions: row 1: timestamp: 'soon'"):
        source.read_interactions(with_ratings=False)
    with pytest.raises(UserError, match="interactions: no rows"):
        open_source(CONFIG, Frames.of(events[:0])).read_interactions(with_ratings=False)
    with pytest.raises(UserError, match=r"data\.source: frames are given in Python: run\(config, interactions"):
        open_source(CONFIG)


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, Arrow])
def test_histories_are_in_time_order_and_users_in_row_order(make: Any) -> None:
    events = pl.DataFrame({"reader": ["w", "v", "w", "v"], "book": [3, 1, 2, 4], "day": [2, 5, 1, 5]})
    given = pd.DataFrame(events.to_dict(as_series=False)) if make is pd.DataFrame else make(events)
    found = read_histories(given, ColumnsConfig(user="reader", item="book", timestamp="day"))
    assert (found.users, found.histories) == (["w", "v"], [["2", "3"], ["1", "4"]])
    rows: dict[str, list[Any]] = {"user": ["w"], "item": ["7"], "rank": [1], "title": ["seven"], "score": [0.5]}
    answer = found.answer(rows, given)
    assert type(answer) is (pd.DataFrame if make is pd.DataFrame else pl.DataFrame)
    shown = answer.to_dict("list") if isinstance(answer, pd.DataFrame) else answer.to_dict(as_series=False)
    assert shown == {"reader": ["w"], "book": [7], "rank": [1], "title": ["seven"], "score": [0.5]}
    in_rows = read_histories(given, ColumnsConfig(user="reader", item="book", timestamp=""))
    assert in_rows.histories == [["3", "2"], ["1", "4"]]


def test_an_answer_is_of_the_library_that_asked() -> None:
    answer = pl.DataFrame({"a": [1]})
    assert like(answer, pl.DataFrame()) is answer
    assert isinstance(like(answer, pd.DataFrame()), pd.DataFrame)
