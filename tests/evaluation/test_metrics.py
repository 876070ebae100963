import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranx import Qrels, Run
from ranx import evaluate as ranx_evaluate

from recdistill.evaluation.metrics import CUTOFFS, beyond_accuracy, means, per_row


def test_hand_worked():
    values = per_row(np.array([1, 3, 10, 11]))
    assert values["hit_rate@10"].tolist() == [1, 1, 1, 0]
    assert values["recall@5"].tolist() == [1, 1, 0, 0]
    assert values["ndcg@10"].tolist() == pytest.approx([1, 0.5, 1 / math.log2(11), 0])
    assert values["mrr@20"].tolist() == pytest.approx([1, 1 / 3, 0.1, 1 / 11])
    assert means(np.array([1, 3, 10, 11]))["mrr@5"] == pytest.approx((1 + 1 / 3) / 4)


def test_names_are_metric_at_cutoff():
    expected = {f"{name}@{k}" for name in ("recall", "hit_rate", "ndcg", "mrr") for k in (5, 10, 20)}
    assert set(per_row(np.array([1]))) == expected


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_bounds_and_order(ranks):
    values = means(np.array(ranks))
    for k in CUTOFFS:
        assert 0 <= values[f"mrr@{k}"] <= values[f"ndcg@{k}"] <= values[f"hit_rate@{k}"] <= 1
        assert values[f"recall@{k}"] == values[f"hit_rate@{k}"]
    assert values["ndcg@5"] <= values["ndcg@10"] <= values["ndcg@20"]


def test_equal_to_ranx():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(60, 50))
    targets = rng.integers(0, 50, size=60)
    ranks = (scores >= scores[np.arange(60), targets][:, None]).sum(1)
    qrels = Qrels({f"u{row}": {f"i{item}": 1} for row, item in enumerate(targets)})
    run = Run({f"u{row}": {f"i{item}": float(score) for item, score in enumerate(scores[row])} for row in range(60)})
    names = [f"{name}@{k}" for name in ("recall", "hit_rate", "ndcg", "mrr") for k in CUTOFFS]
    assert means(ranks) == pytest.approx(ranx_evaluate(qrels, run, names), abs=1e-12)


def test_no_rows_have_no_mean():
    with pytest.raises(ValueError, match="no rows"):
        means(np.array([], dtype=np.int64))


def test_coverage_and_popularity_of_the_lists():
    counts = np.array([0, 10, 4, 1, 7])
    lists = np.array([[1, 2, 0], [1, 3, 0]])
    assert beyond_accuracy(lists, counts) == {"coverage@10": 0.75, "mean_popularity@10": 25 / 4}
    assert beyond_accuracy(np.zeros((2, 3), dtype=np.int32), counts) == {"coverage@10": 0, "mean_popularity@10": 0}
