from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.config import DataConfig
from recdistill.data.interactions import Interactions, first_or_last, k_core, select, time_order, without_gaps
from recdistill.errors import UserError

Event = tuple[int, int, float]


def interactions(events: list[Event], ratings: list[float] | None = None) -> Interactions:
    columns: Any = list(zip(*events, strict=True)) or [[], [], []]
    users, items = (np.array(column, dtype=np.int32) for column in columns[:2])
    return Interactions(
        users=users,
        items=items,
        times=np.array(columns[2], dtype=np.float64),
        ratings=None if ratings is None else np.array(ratings),
        user_ids=[f"u{number}" for number in range(int(users.max(initial=-1)) + 1)],
        item_ids=[f"i{number}" for number in range(int(items.max(initial=-1)) + 1)],
    )


def named(data: Interactions) -> list[tuple[str, str]]:
    return [(data.user_ids[user], data.item_ids[item]) for user, item in zip(data.users, data.items, strict=True)]


def test_events_at_one_time_stay_in_the_order_of_the_file() -> None:
    users = np.array([1, 0, 1, 0, 1, 0], dtype=np.int32)
    times = np.array([5, 5, 3, 5, 5, 4])
    assert time_order(users, times).tolist() == [5, 1, 3, 2, 0, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60))
def test_time_order_is_the_stable_sort(events: list[tuple[int, int]]) -> None:
    users, times = (np.array([event[k] for event in events], dtype=np.int32) for k in (0, 1))
    expected = sorted(range(len(events)), key=lambda row: events[row])
    assert time_order(users, times).tolist() == expected


@pytest.mark.parametrize(("last", "kept"), [(False, [0, 1, 3, 4]), (True, [2, 3, 4, 5])])
def test_first_or_last_event_with_an_item(last: bool, kept: list[int]) -> None:
    data = interactions([(0, 1, 1), (0, 0, 2), (0, 1, 3), (0, 2, 4), (1, 1, 1), (0, 0, 9)])
    assert np.flatnonzero(first_or_last(data, last)).tolist() == kept


def test_k_core_goes_on_until_nothing_changes() -> None:
    # Item 3 has one event; without it user 2 has only two; without those item 2 has one; without it user 1 has two.
    events = [(0, 0), (0, 1), (0, 4), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (2, 3), (3, 0), (3, 1), (3, 4)]
    users, items = (np.array([event[k] for event in events], dtype=np.int32) for k in (0, 1))
    kept = k_core(users, items, 3, 2)
    assert [event for event, stays in zip(events, kept, strict=True) if stays] == [
        (0, 0),
        (0, 1),
        (0, 4),
        (3, 0),
        (3, 1),
        (3, 4),
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=80), st.integers(1, 4), st.integers(1, 4))
def test_k_core_is_the_largest_core(events: list[tuple[int, int]], least_user: int, least_item: int) -> None:
    left = list(enumerate(events))
    while True:  # One event at a time, in another order than the code's: the core is the same.
        users, items = Counter(e[0] for _, e in left), Counter(e[1] for _, e in left)
        bad = [row for row in left if users[row[1][0]] < least_user or items[row[1][1]] < least_item]
        if not bad:
            break
        left.remove(bad[-1])
    users_column, items_column = (np.array([event[k] for event in events], dtype=np.int32) for k in (0, 1))
    kept = k_core(users_column, items_column, least_user, least_item)
    assert np.flatnonzero(kept).tolist() == [row for row, _ in left]


def test_select_tells_what_each_step_left() -> None:
    events: list[Event] = [*((0, item, 10 - item) for item in range(4)), (0, 3, 99), (1, 2, 1), (2, 0, 5)]
    kept, steps = select(interactions(events, [3, 3, 5, 3, 3, 5, 2]), DataConfig(min_rating=3, min_user_events=4))
    assert named(kept) == [("u0", "i3"), ("u0", "i2"), ("u0", "i1"), ("u0", "i0")]
    assert kept.items.tolist() == [3, 2, 1, 0]
    assert steps == {
        "read": {"events": 7, "users": 3, "items": 4},
        "min_rating": {"events": 6, "users": 2, "items": 4},
        "duplicates": {"events": 5, "users": 2, "items": 4},
        "k_core": {"events": 4, "users": 1, "items": 4},
    }


def test_select_keeps_repeated_events_when_told_to() -> None:
    events: list[Event] = [(0, 0, 1), (0, 0, 2), (0, 1, 3)]
    kept, steps = select(interactions(events), DataConfig(duplicates="keep", min_user_events=3))
    assert kept.items.tolist() == [0, 0, 1]
    assert list(steps) == ["read", "k_core"]


def test_nothing_left_names_the_settings() -> None:
    events: list[Event] = [(0, 0, 1), (0, 1, 2), (0, 2, 3)]
    message = (
        "no interactions are left after filtering: 3 read, 3 after data.duplicates first, "
        "0 after data.min_user_events 5 and data.min_item_events 1"
    )
    with pytest.raises(UserError, match=f"^{message}$"):
        select(interactions(events), DataConfig())
    with pytest.raises(UserError, match=r"3 read, 0 after data\.min_rating 6, 0 after"):
        select(interactions(events, [1, 2, 3]), DataConfig(min_rating=6))


def test_without_gaps_keeps_names_and_their_order() -> None:
    data = interactions([(0, 4, 1), (3, 1, 2), (0, 2, 3)])
    dense = without_gaps(data)
    assert named(dense) == named(data)
    assert (dense.user_ids, dense.item_ids) == (["u0", "u3"], ["i1", "i2", "i4"])
