"""Histories in a random order: what moves, what stays, and that runs of both orders can be compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recdistill.config import DataConfig
from recdistill.data.history_order import shuffled
from recdistill.data.prepare import prepare
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

EVENTS = "user_id,item_id,timestamp\n" + "".join(
    f"u{user},i{(user * 7 + place * place) % 23},{place}\n" for user in range(30) for place in range(8)
)


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    (tmp_path / "events.csv").write_text(EVENTS)
    return DataConfig(source="csv", path=str(tmp_path / "events.csv"), min_user_events=3, duplicates="keep")


def prepared(config: DataConfig, folder: Path, seed: int = 1) -> PreparedData:
    return prepare(config, seed, RunContext("cpu", Profiler("cpu"), folder))


def test_only_training_items_move_and_only_within_their_user() -> None:
    items = np.array([1, 2, 3, 4, 9, 8, 5, 6, 7], dtype=np.int32)
    offsets, ends = np.array([0, 6, 9]), np.array([4, 1], dtype=np.int32)
    found = [shuffled(items, offsets, ends, np.random.default_rng(seed)) for seed in range(20)]
    assert all(sorted(one[:4]) == [1, 2, 3, 4] for one in found)
    assert all(one[4:].tolist() == [9, 8, 5, 6, 7] for one in found)
    assert len({tuple(one) for one in found}) > 10
    assert found[0].dtype == np.int32


def test_targets_stay_and_fingerprints_say_what_changed(config: DataConfig, tmp_path: Path) -> None:
    plain = prepared(config, tmp_path / "plain")
    other = prepared(replace(config, history_order="shuffled"), tmp_path / "other")
    assert other.fingerprint == plain.fingerprint
    assert other.evaluation_fingerprint == plain.evaluation_fingerprint
    assert other.split_fingerprint != plain.split_fingerprint
    for split in ("validation", "test"):
        targets = plain.targets(split)
        assert np.array_equal(plain.target_items(targets), other.target_items(targets))
    assert not np.array_equal(plain.items, other.items)
    assert np.array_equal(plain.train_item_counts(), other.train_item_counts())


def test_the_seed_decides(config: DataConfig, tmp_path: Path) -> None:
    config = replace(config, history_order="shuffled")
    first, same, other = (prepared(config, tmp_path / f"{place}", seed) for place, seed in enumerate((1, 1, 2)))
    assert np.array_equal(first.items, same.items)
    assert first.split_fingerprint == same.split_fingerprint
    assert not np.array_equal(first.items, other.items)
    assert first.split_fingerprint != other.split_fingerprint


def test_generated_data_keeps_its_order() -> None:
    with pytest.raises(UserError, match=r"data\.history_order: 'shuffled' is out of range; .*time with planted data"):
        DataConfig(source="planted", history_order="shuffled")
