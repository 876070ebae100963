"""Histories that nobody has, behind those of the data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.mixed_histories import with_mixed_histories
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError

ITEMS = 30


def make_data(lengths: list[int], seed: int = 0) -> PreparedData:
    rng = np.random.default_rng(seed)
    ends = np.array(lengths, dtype=np.int32)
    names = ["", *map(str, range(1, ITEMS + 1))]
    return PreparedData(
        np.concatenate([rng.permutation(ITEMS)[:length] + 1 for length in lengths]).astype(np.int32),
        np.arange(sum(lengths), dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ends - 2,
        ends - 1,
        names,
        names,
        "data",
        "split",
    )


@pytest.fixture
def data() -> PreparedData:
    return make_data([8, 12, 5, 20])


def test_the_datas_own_stay_as_they_are(data: PreparedData) -> None:
    more = with_mixed_histories(data, 5, 8, seed=1)
    assert more.num_users == data.num_users + 5
    for user, length in enumerate(np.diff(data.offsets).tolist()):
        np.testing.assert_array_equal(more.history(user, length), data.history(user, length))
    for split in ("validation", "test"):
        found, expected = more.targets(split), data.targets(split)
        np.testing.assert_array_equal(found.users, expected.users)
        np.testing.assert_array_equal(found.positions, expected.positions)
    own = more.targets("train").users < data.num_users
    np.testing.assert_array_equal(more.targets("train").positions[own], data.targets("train").positions)


def test_made_up_histories_are_two_peoples_in_their_order(data: PreparedData) -> None:
    more = with_mixed_histories(data, 40, 8, seed=1)
    trained = [data.history(user, int(end)).tolist() for user, end in enumerate(data.train_ends)]
    mixtures = 0
    for user in range(data.num_users, more.num_users):
        items = more.history(user, int(more.train_ends[user])).tolist()
        assert 2 <= len(items) == len(set(items)) <= 8
        pairs = [
            (one, other)
            for one in range(len(trained))
            for other in range(one + 1, len(trained))
            if in_order(items, trained[one], trained[other])
        ]
        assert pairs, items
        mixtures += not any(set(items) <= set(own) for own in trained)
    assert mixtures > 20


def in_order(items: list[int], one: list[int], other: list[int]) -> bool:
    """Whether all items are of these two, and those of one alone are in that one's order."""
    alone = [[item for item in items if item in own and item not in rest] for own, rest in ((one, other), (other, one))]
    ordered = all(part == sorted(part, key=own.index) for part, own in zip(alone, (one, other), strict=True))
    return ordered and set(items) <= set(one) | set(other)


def test_nothing_of_validation_or_test_is_in_them() -> None:
    data = make_data([10, 10, 10])
    items = data.items.copy()
    items[data.offsets[1:] - 1], items[data.offsets[1:] - 2] = ITEMS, ITEMS - 1  # each user's test and validation item
    data = replace(data, items=np.where(np.isin(items, [ITEMS, ITEMS - 1]) & (items == data.items), 1, items))
    more = with_mixed_histories(data, 60, 10, seed=0)
    assert not np.isin(more.items[len(data.items) :], [ITEMS, ITEMS - 1]).any()


def test_only_people_who_are_trained_on_are_mixed(data: PreparedData) -> None:
    half = replace(data, trained_users=np.array([True, False, True, False]))
    more = with_mixed_histories(half, 30, 8, seed=0)
    assert more.trained_users is not None
    assert more.trained_users.tolist() == [True, False, True, False, *[True] * 30]
    allowed = {*data.history(0, 6).tolist(), *data.history(2, 3).tolist()}
    assert set(more.items[len(data.items) :].tolist()) <= allowed


def test_none_is_the_data_itself(data: PreparedData) -> None:
    assert with_mixed_histories(data, 0, 8, seed=1) is data


def test_one_person_is_mixed_with_herself() -> None:
    data = make_data([9])
    more = with_mixed_histories(data, 20, 6, seed=0)
    train = data.history(0, int(data.train_ends[0])).tolist()
    made = [more.history(user, int(more.train_ends[user])).tolist() for user in range(1, more.num_users)]
    assert len(made) == 20
    assert all(set(history) <= set(train) and len(set(history)) == len(history) <= 6 for history in made)
    # Two stretches of one history: not all are a stretch of it, as they would be of one person left unmixed.
    stretches = [train[start:end] for start in range(len(train)) for end in range(start + 1, len(train) + 1)]
    assert sum(history not in stretches for history in made) > 5


def test_nobody_to_mix_is_refused(data: PreparedData) -> None:
    nobody = replace(data, trained_users=np.zeros(4, dtype=np.bool_))
    with pytest.raises(UserError, match=r"export\.mixed_histories: no user has two training interactions"):
        with_mixed_histories(nobody, 1, 8, seed=0)


def test_the_fingerprint_is_of_these_histories(data: PreparedData) -> None:
    one, other = with_mixed_histories(data, 3, 8, seed=0), with_mixed_histories(data, 3, 8, seed=1)
    assert len({data.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert one.fingerprint == with_mixed_histories(data, 3, 8, seed=0).fingerprint
    assert one.split_fingerprint == data.split_fingerprint


def test_types_stay(data: PreparedData) -> None:
    more = with_mixed_histories(data, 3, 8, seed=0)
    for name in ("items", "timestamps", "offsets", "train_ends", "validation_ends"):
        assert getattr(more, name).dtype == getattr(data, name).dtype, name
    assert len(more.items) == len(more.timestamps) == more.offsets[-1]


@given(st.integers(0, 50), st.integers(1, 6), st.integers(1, 6))
def test_more_begin_with_the_same_ones(seed: int, few: int, further: int) -> None:
    one, more = (with_mixed_histories(make_data([8, 12, 5]), count, 5, seed) for count in (few, few + further))
    np.testing.assert_array_equal(more.items[: len(one.items)], one.items)
