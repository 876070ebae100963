from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recdistill.data.prepared import LongArray, PreparedData
from recdistill.evaluation.baselines import together
from recdistill.evaluation.baselines.together import TrainedPairs


def dense(data: PreparedData, pairs: Any) -> LongArray:
    found = np.zeros((data.num_items + 1, data.num_items + 1), dtype=np.int64)
    for items, others, counts in TrainedPairs(data).together(pairs):
        assert found[items, others].sum() == 0, "a pair of items is counted in one block"
        found[items, others] = counts
    return found


def test_counts_by_hand_with_a_repeat_counted_once(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 1, 3, 3], [1, 3, 2, 2], num_items=4)  # train: 1 2 1 and 1 3
    assert dense(data, 100).tolist() == [[0] * 5, [0, 2, 1, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0] * 5]
    assert TrainedPairs(data).sizes.tolist() == [0, 2, 1, 1, 0]


@pytest.mark.parametrize("pairs", [1, 7, 50, 10_000])
@pytest.mark.parametrize("most_cells", [0, 1000])
def test_any_size_of_blocks_sorted_or_dense_gives_the_dense_product(
    make_data: Callable[..., PreparedData], monkeypatch: pytest.MonkeyPatch, pairs: Any, most_cells: int
) -> None:
    monkeypatch.setattr(together, "DENSE", most_cells)
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 12, size=25)
    data = make_data(
        *[(1 + np.floor(20 * rng.random(size) ** 2)).astype(int).tolist() for size in lengths], num_items=22
    )
    x = np.zeros((25, 23), dtype=np.int64)
    for user in range(25):
        x[user, data.history(user, int(data.trained_ends[user]))] = 1
    assert (dense(data, pairs) == x.T @ x).all()
