"""Who is trained on: whole users from a column, and a share of the users."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.prepare import prepare
from recdistill.data.prepared import PreparedData
from recdistill.data.splits import by_user, leave_one_out, train_share
from recdistill.data.windows import training_windows
from recdistill.errors import UserError
from recdistill.evaluation.baselines.cooccurrence import CooccurrenceScorer
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

Write = Callable[[str, str | bytes], Path]

EVENTS = """user_id,item_id,order,split
a,1,0,train
a,2,1,train
a,3,2,train
b,4,2,val
b,1,0,val
b,3,1,val
c,2,0,test
c,3,1,test
c,5,2,test
c,4,3,test
"""


@pytest.fixture
def config(write: Write) -> DataConfig:
    path = write("e.csv", EVENTS)
    columns = ColumnsConfig(timestamp="order")
    return DataConfig(source="csv", path=str(path), columns=columns, split="column", min_user_events=3)


def run(config: DataConfig, folder: Path, seed: int = 0) -> PreparedData:
    with Profiler() as profiler:
        return prepare(config, seed, RunContext("cpu", profiler, folder))


def keys(data: PreparedData, split: Any) -> list[tuple[int, int]]:
    targets = data.targets(split)
    return list(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))


def test_by_user_on_paper() -> None:
    ends = by_user(np.array([0, 4, 7, 12]), np.array([0, 1, 2], dtype=np.int8))
    assert (ends.train.tolist(), ends.validation.tolist()) == ([4, 2, 4], [4, 3, 4])
    assert ends.trained is not None
    assert ends.trained.tolist() == [True, False, False]
    assert ends.num_trained.tolist() == [4, 0, 0]
    assert ends.take(np.array([2, 0])).num_trained.tolist() == [0, 4]


def test_the_column_splits_whole_users(config: DataConfig, tmp_path: Path) -> None:
    data = run(config, tmp_path / "out")
    assert (keys(data, "train"), keys(data, "validation"), keys(data, "test")) == ([(0, 1), (0, 2)], [(1, 2)], [(2, 3)])
    assert data.target_items(data.targets("validation")).tolist() == [4]
    assert data.train_item_counts().tolist() == [0, 1, 1, 1, 0, 0]  # histories of b and c are counted nowhere
    windows = training_windows(data, 10, "all")
    assert (windows.users.tolist(), windows.ends.tolist()) == ([0], [2])
    assert json.loads((tmp_path / "out" / "data.json").read_text())["statistics"]["trained_users"] == 1


def test_neighbours_are_counted_in_trained_histories_only(config: DataConfig, tmp_path: Path) -> None:
    data = run(config, tmp_path / "out")
    scores = CooccurrenceScorer(data).score(*(np.array([value], dtype=np.int32) for value in (2, 2)))
    # After item 3 come items 1 and 2, of user a; item 5 of user c is nowhere.
    assert scores[0].floor().tolist() == [0, 1, 1, 0, 0, 0]


def test_users_of_two_parts_and_unknown_parts_are_refused(config: DataConfig, tmp_path: Path) -> None:
    Path(config.path).write_text(EVENTS.replace("c,4,3,test", "c,4,3,train"))
    with pytest.raises(UserError, match=r"data\.split: column splits whole users, but interactions of user 'c' belong"):
        run(config, tmp_path / "out")
    Path(config.path).write_text(EVENTS.replace("c,4,3,test", "c,4,3,dev"))
    with pytest.raises(UserError, match=r"e\.csv:11: split: 'dev' is none of train, validation, valid, val, test"):
        run(config, tmp_path / "out")
    with pytest.raises(UserError, match=r"e\.csv: no column 'fold'"):
        run(replace(config, columns=replace(config.columns, split="fold")), tmp_path / "out")
    with pytest.raises(UserError, match=r"data\.columns: one column cannot mean two things"):
        run(replace(config, columns=replace(config.columns, split="item_id")), tmp_path / "out")
    Path(config.path).write_text(EVENTS.replace("val", "train"))
    with pytest.raises(UserError, match="no validation targets are left of 3 users"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_column_is_not_read_by_other_splits(config: DataConfig, tmp_path: Path) -> None:
    Path(config.path).write_text(EVENTS.replace("test", "whatever"))
    assert len(run(replace(config, split="leave_one_out"), tmp_path / "out").targets("test")) == 3


def test_shares_are_nested_and_never_empty() -> None:
    ends = leave_one_out(np.arange(0, 401, 4))
    kept: set[int] = set()
    for share in (0.001, 0.1, 0.25, 1.0):
        trained = train_share(ends, share, np.random.default_rng(5)).trained
        assert trained is not None
        users = set(np.flatnonzero(trained).tolist())
        assert len(users) == max(1, 100 * share)
        assert kept <= users
        kept = users


def test_a_share_is_drawn_from_users_with_training_targets() -> None:
    ends = by_user(np.array([0, 4, 7, 12, 15]), np.array([0, 1, 2, 0], dtype=np.int8))
    trained = train_share(ends, 0.5, np.random.default_rng(0)).trained
    assert trained is not None
    assert trained.sum() == 1
    assert not trained[[1, 2]].any()


def many_users(write: Write) -> DataConfig:
    generator = np.random.default_rng(0)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(generator.permutation(60)[:9])]
    return DataConfig(source="csv", path=str(write("many.csv", "user_id,item_id,timestamp\n" + "\n".join(rows))))


def test_a_share_trains_on_some_and_evaluates_all(write: Write, tmp_path: Path) -> None:
    config = many_users(write)
    whole = run(config, tmp_path / "whole", seed=3)
    part = run(replace(config, train_user_fraction=0.25), tmp_path / "part", seed=3)
    assert whole.trained_users is None
    assert part.trained_users is not None
    assert part.trained_users.sum() == 10
    assert {user for user, _ in keys(part, "train")} == set(np.flatnonzero(part.trained_users).tolist())
    assert set(training_windows(part, 3, "last").users.tolist()) == {user for user, _ in keys(part, "train")}
    assert part.train_item_counts().sum() == 10 * 7
    for split in ("validation", "test"):
        assert keys(part, split) == keys(whole, split)
    assert part.items.tolist() == whole.items.tolist()


def test_fingerprints_say_that_targets_are_equal_and_training_is_not(write: Write, tmp_path: Path) -> None:
    config = many_users(write)
    whole = run(config, tmp_path / "whole", seed=3)
    part = run(replace(config, train_user_fraction=0.25), tmp_path / "part", seed=3)
    other = run(replace(config, train_user_fraction=0.25), tmp_path / "other", seed=4)
    assert whole.fingerprint == part.fingerprint == other.fingerprint
    assert len({whole.split_fingerprint, part.split_fingerprint, other.split_fingerprint}) == 3
    assert whole.evaluation_fingerprint == part.evaluation_fingerprint == other.evaluation_fingerprint
    moved = replace(whole, validation_ends=whole.validation_ends - 1)
    assert moved.evaluation_fingerprint != whole.evaluation_fingerprint
    assert replace(whole, fingerprint="x").evaluation_fingerprint != whole.evaluation_fingerprint


def test_limit_rows_draws_the_same_users_at_every_share(write: Write, tmp_path: Path) -> None:
    config = replace(many_users(write), limit_rows=100)
    users = {}
    for name, share in {"whole": 1.0, "part": 0.5}.items():
        data = run(replace(config, train_user_fraction=share), tmp_path / name, seed=3)
        users[name] = json.loads((tmp_path / name / "users.json").read_text())
        assert len(data.targets("train")) == 6 * round(16 * share)
    assert users["whole"] == users["part"]
