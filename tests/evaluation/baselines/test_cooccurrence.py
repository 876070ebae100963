from collections.abc import Callable

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines.cooccurrence import CooccurrenceScorer


def test_neighbours_of_the_last_item_by_hand(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 2, 9, 9], [2, 1, 9, 9], num_items=9)  # train: 1 2 3 2 and 2 1
    scorer = CooccurrenceScorer(data, window=1)  # neighbours: 1-2 twice, 2-3 twice
    popularity = np.array([0, 2, 3, 1, 0, 0, 0, 0, 0, 0]) / 4
    scores = scorer.score(np.array([0, 0, 0]), np.array([1, 2, 5])).numpy()  # last items: 1, 2 and 9
    assert scores[0] == pytest.approx(popularity + np.array([0, 0, 2, 0, 0, 0, 0, 0, 0, 0]))
    assert scores[1] == pytest.approx(popularity + np.array([0, 2, 0, 2, 0, 0, 0, 0, 0, 0]))
    assert scores[2] == pytest.approx(popularity)


def test_the_window_reaches_as_far_as_it_says_and_not_into_other_users(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4, 8, 8], [5, 6, 8, 8], num_items=8)
    row = CooccurrenceScorer(data, window=2).score(np.array([0]), np.array([1]))[0]
    assert [item for item in range(1, 9) if row[item] >= 1] == [2, 3]
    row = CooccurrenceScorer(data, window=9).score(np.array([0]), np.array([4]))[0]
    assert [item for item in range(1, 9) if row[item] >= 1] == [1, 2, 3]


def test_popularity_never_outweighs_a_neighbour(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 7, 7], *[[3, 3, 3, 3, 3, 7, 7]] * 5, num_items=7)
    row = CooccurrenceScorer(data, window=1).score(np.array([0]), np.array([1]))[0]
    assert row.argmax() == 2
    assert 0 < row[3] < 1
