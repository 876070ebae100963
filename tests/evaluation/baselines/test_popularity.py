from collections.abc import Callable

import numpy as np

from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines.popularity import PopularityScorer


def test_popularity_counts_train_events_only(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], [1, 3, 4, 4], num_items=5)  # train: 1 2 and 1 3
    scores = PopularityScorer(data).score(np.array([0, 1, 1]), np.array([3, 3, 2]))
    assert scores.tolist() == [[0, 2, 1, 1, 0, 0]] * 3
