from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recdistill.evaluation.slices import by_history_length, by_popularity


def test_cold_targets_stand_apart_and_the_rest_is_cut_in_thirds() -> None:
    slices = by_popularity(np.array([4, 5, 9, 6, 8, 0, 7, 10]))
    assert [part.name for part in slices] == ["cold", "1", "2", "3"]
    assert [(part.first, part.last) for part in slices] == [(0, 4), (5, 6), (7, 8), (9, 10)]
    assert slices[0].rows.tolist() == [0, 5]
    assert slices[3].rows.tolist() == [2, 7]


def test_no_cold_slice_where_no_target_is_cold() -> None:
    assert [part.name for part in by_popularity(np.array([5, 6, 7]))] == ["1", "2", "3"]


def test_all_cold() -> None:
    assert [part.name for part in by_popularity(np.array([1, 2]))] == ["cold"]


def test_equal_lengths_are_one_slice() -> None:
    slices = by_history_length(np.full(9, 7, dtype=np.int32))
    assert [(part.first, part.last, len(part.rows)) for part in slices] == [(7, 7, 9)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_every_row_is_in_exactly_one_slice_and_slices_do_not_overlap(values: list[Any]) -> None:
    for slices in (by_popularity(np.array(values)), by_history_length(np.array(values, dtype=np.int32))):
        rows = np.concatenate([part.rows for part in slices])
        assert sorted(rows.tolist()) == list(range(len(values)))
        assert all(left.last < right.first for left, right in pairwise(slices))
