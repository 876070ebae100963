import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.prepare import prepare, source_fingerprint
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

Write = Callable[[str, str | bytes], Path]
FILES = {"items.npy", "timestamps.npy", "offsets.npy", "train_ends.npy", "validation_ends.npy"} | {
    "catalog.json",
    "users.json",
    "data.json",
}

EVENTS = """user_id,item_id,timestamp,stars
u10,10,5,3
u9,9,3.75,5
u10,9,5,4
u9,10,3.25,4
u9,b,1,1
u3,9,1,5
u10,b,4,5
u9,10,9,2
u9,c,9.5,5
u10,c,8,5
"""


@pytest.fixture
def config(write: Write) -> DataConfig:
    events = write("events.csv", EVENTS)
    titles = write("items.csv", "item_id,title\n9,Nine\nb,Bee\nunrated,Never mind\n")
    return DataConfig(source="csv", path=str(events), items_path=str(titles), min_user_events=3)


def run(config: DataConfig, folder: Path, seed: int = 0) -> PreparedData:
    with Profiler() as profiler:
        data = prepare(config, seed, RunContext("cpu", profiler, folder))
    assert set(profiler.seconds) == {"load data", "filter", "split", "write"}
    return data


def about(folder: Path) -> Any:
    return json.loads((folder / "data.json").read_text())


def test_the_whole_way(config: DataConfig, tmp_path: Path) -> None:
    data = run(config, tmp_path / "out")
    # u10: b at 4, 10 and 9 at 5 in file order, c at 8. u9: b at 1, 10 at 3.25, 9 at 3.75, c (10 at 9 is a repetition).
    assert data.items.tolist() == [3, 2, 1, 4, 3, 2, 1, 4]
    assert data.timestamps.tolist() == [4, 5, 5, 8, 1, 3, 3, 9]
    assert data.offsets.tolist() == [0, 4, 8]
    assert (data.train_ends.tolist(), data.validation_ends.tolist()) == ([2, 2], [3, 3])
    assert data.item_ids == ["", "9", "10", "b", "c"]
    assert data.titles == ["", "Nine", "", "Bee", ""]
    assert {array.dtype.name for array in (data.items, data.train_ends, data.validation_ends)} == {"int32"}
    assert {array.dtype.name for array in (data.timestamps, data.offsets)} == {"int64"}
    assert isinstance(data.items, np.memmap)


def test_what_is_written_beside_the_arrays(config: DataConfig, tmp_path: Path) -> None:
    data = run(config, tmp_path / "out", seed=7)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert json.loads((tmp_path / "out" / "users.json").read_text()) == ["u10", "u9"]
    written = about(tmp_path / "out")
    assert written["fingerprint"] == data.fingerprint
    assert written["settings"]["min_user_events"] == 3
    assert written["seed"] == 7
    assert written["filters"]["read"] == {"events": 10, "users": 3, "items": 4}
    assert written["filters"]["duplicates"]["events"] == 9
    assert written["statistics"] == {
        "events": 8,
        "users": 2,
        "items": 4,
        "targets": {"train": 2, "validation": 2, "test": 2},
        "titles_missing": 2,
        "tied_events": 2,
    }
    assert written["titles"]["unmatched"] == 2


def test_global_time_cuts_at_fractions_of_a_second(config: DataConfig, tmp_path: Path) -> None:
    config = replace(config, split="global_time", validation_fraction=0.5, test_fraction=0.25)
    data = run(config, tmp_path / "out")
    # Times: 1 3.25 3.75 4 5 5 8 9.5; the moments are 3.75 and 8.
    assert (data.train_ends.tolist(), data.validation_ends.tolist()) == ([0, 2], [3, 3])
    assert [len(data.targets(name)) for name in ("train", "validation", "test")] == [1, 3, 2]


def test_ties_are_counted_within_users(write: Write, tmp_path: Path) -> None:
    rows = "1,1,1\n1,2,2\n1,3,3\n1,4,3\n2,1,3\n2,2,4\n2,3,5\n2,4,6\n"
    path = write("ties.csv", "user_id,item_id,timestamp\n" + rows)
    run(DataConfig(source="csv", path=str(path), min_user_events=4), tmp_path / "out")
    assert about(tmp_path / "out")["statistics"]["tied_events"] == 1


def test_preparing_again_gives_the_same(config: DataConfig, tmp_path: Path) -> None:
    first, again = run(config, tmp_path / "a"), run(config, tmp_path / "b")
    assert (first.fingerprint, first.split_fingerprint) == (again.fingerprint, again.split_fingerprint)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [("u9,c,9.5", "u9,c,8.9"), ("u10,", "u11,"), (",b,", ",z,"), ("u10,10,5,3\n", "u10,10,5.5,3\n")],
)
def test_other_events_or_names_have_another_fingerprint(config: DataConfig, tmp_path: Path, old: str, new: str) -> None:
    first = run(config, tmp_path / "a")
    Path(config.path).write_text(EVENTS.replace(old, new))
    assert run(config, tmp_path / "b").fingerprint != first.fingerprint


def test_titles_and_filters_count_for_the_fingerprint_and_the_split_for_its_own(
    config: DataConfig, tmp_path: Path
) -> None:
    first = run(config, tmp_path / "a")
    filtered = run(replace(config, min_item_events=2), tmp_path / "b")
    assert first.fingerprint != filtered.fingerprint
    assert first.split_fingerprint == filtered.split_fingerprint
    cut = run(replace(config, split="global_time", validation_fraction=0.25, test_fraction=0.25), tmp_path / "c")
    assert first.fingerprint == cut.fingerprint
    assert first.split_fingerprint != cut.split_fingerprint
    Path(config.items_path).write_text("item_id,title\n9,Neuf\n")
    assert run(config, tmp_path / "d").fingerprint != first.fingerprint


def test_source_fingerprint_follows_settings_and_contents_only(config: DataConfig, tmp_path: Path) -> None:
    first = source_fingerprint(config)
    assert source_fingerprint(config) == first
    assert source_fingerprint(replace(config, min_item_events=2)) != first
    Path(config.items_path).write_text("item_id,title\n9,Neuf\n")
    changed = source_fingerprint(config)
    assert changed != first
    Path(config.path).write_text(EVENTS + "u3,9,9,1\n")
    assert source_fingerprint(config) not in (first, changed)


def many_users(write: Write, users: int = 40) -> DataConfig:
    generator = np.random.default_rng(0)
    rows = [f"{user},{item},{time}" for user in range(users) for time, item in enumerate(generator.permutation(60)[:9])]
    return DataConfig(source="csv", path=str(write("many.csv", "user_id,item_id,timestamp\n" + "\n".join(rows))))


def test_limit_rows_takes_whole_users_and_their_items(write: Write, tmp_path: Path) -> None:
    config = many_users(write)
    whole = run(config, tmp_path / "whole")
    part = run(replace(config, limit_rows=50), tmp_path / "part", seed=1)
    users = json.loads((tmp_path / "part" / "users.json").read_text())
    assert len(users) == part.num_users == 8  # Each has 6 training targets.
    assert len(part.targets("train")) == 48
    assert set(part.items.tolist()) == set(range(1, part.num_items + 1))
    for row, user in enumerate(users):
        same = [whole.item_ids[item] for item in whole.history(int(user), 9)]
        assert [part.item_ids[item] for item in part.history(row, 9)] == same
    other = run(replace(config, limit_rows=50), tmp_path / "other", seed=2)
    assert other.fingerprint != part.fingerprint
    assert json.loads((tmp_path / "other" / "users.json").read_text()) != users


def test_limit_rows_keeps_the_moments_of_all_events(write: Write, tmp_path: Path) -> None:
    config = replace(many_users(write), split="global_time", validation_fraction=0.2, test_fraction=0.2)
    part = run(replace(config, limit_rows=50), tmp_path / "part")
    assert set(part.train_ends.tolist()) == {5}
    assert set(part.validation_ends.tolist()) == {7}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"min_user_events": 9}, "no interactions are left after filtering: 10 read"),
        ({"limit_rows": 0.5}, "data.limit_rows: 0.5 is too few"),
        ({"min_rating": 4.0}, "data.columns.rating"),
        ({"min_rating": 4.0, "columns": ColumnsConfig(rating="stars")}, "no train targets are left of 2 users"),
        ({"split": "global_time", "validation_fraction": 0.97, "test_fraction": 0.02}, "data.validation_fraction 0.97"),
        (
            {"items_path": "", "columns": ColumnsConfig(timestamp="item_id", item="timestamp")},
            "events.csv: 4 bad rows (data.bad_rows skip leaves them out): 6: item_id: 'b' is not a number; 8:",
        ),
        ({"items_path": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"separator": ";"}, "the separator seems to be ','"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(
    config: DataConfig, tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError) as caught:
        run(replace(config, **settings), tmp_path / "out")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
