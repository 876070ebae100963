from collections.abc import Callable

import numpy as np
import pytest

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines.item_knn import ItemKnnScorer
from recdistill.evaluation.baselines.recent import TIE_BREAK

CONFIG = EvaluateConfig()


def test_similarities_by_hand(make_data: Callable[..., PreparedData]) -> None:
    # Train: users have {1, 2}, {1, 2}, {1, 3}; item 4 is nowhere in train. Users: 3 of item 1, 2 of 2, 1 of 3.
    data = make_data([1, 2, 4, 4], [2, 1, 4, 4], [1, 3, 4, 4], num_items=4)
    scorer = ItemKnnScorer(data, CONFIG, neighbours=3, shrinkage=1.0)
    scores = scorer.score(np.array([0, 0, 2]), np.array([1, 2, 2])).numpy()  # histories: 1; 1 2; 1 3
    with_2, with_3 = 2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)
    assert scores[0] == pytest.approx([0, 0, with_2, with_3, 0], abs=2 * TIE_BREAK)
    assert scores[1] == pytest.approx([0, with_2, with_2, with_3, 0], abs=2 * TIE_BREAK)
    assert scores[2] == pytest.approx([0, with_3, with_2, with_3, 0], abs=2 * TIE_BREAK)


def test_only_the_most_similar_items_vote_the_more_popular_where_equal(make_data: Callable[..., PreparedData]) -> None:
    # Item 1 has 2, 3 and 4 as neighbours, once each; 3 and 4 are alike in size, 2 is rarer and so more similar.
    data = make_data([1, 2, 3, 4, 5, 5], [3, 4, 5, 5], num_items=5)
    histories = np.array([0]), np.array([1])
    kept = [
        np.flatnonzero(ItemKnnScorer(data, CONFIG, neighbours=k).score(*histories)[0].numpy() > 2 * TIE_BREAK).tolist()
        for k in (1, 2, 3)
    ]
    assert kept == [[2], [2, 3], [2, 3, 4]]


def test_the_more_popular_of_two_alike_is_the_neighbour(make_data: Callable[..., PreparedData]) -> None:
    # Item 1 is with 2 in four of 2's 16 users, 4 / √(4·16), and with 3 in two of 3's four, 2 / √(4·4): both are 1/2.
    shared = [[1, 2, 9, 9]] * 2 + [[1, 2, 3, 9, 9]] * 2
    data = make_data(*shared, *[[2, 9, 9]] * 12, *[[3, 9, 9]] * 2, num_items=9)
    scores = ItemKnnScorer(data, CONFIG, neighbours=1, shrinkage=0.0).score(np.array([0]), np.array([1]))[0]
    assert scores[2] == pytest.approx(0.5)
    assert scores[3] < TIE_BREAK


def test_popularity_orders_items_without_a_vote(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 9, 9], [3, 4, 9, 9], [3, 5, 9, 9], num_items=9)
    scores = ItemKnnScorer(data, CONFIG).score(np.array([0]), np.array([1]))[0]
    assert TIE_BREAK > scores[3] > scores[4] == scores[5] > scores[9] == 0
