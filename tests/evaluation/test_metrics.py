import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranx import Qrels, Run
from ranx import evaluate as ranx_evaluate

from recdistill.evaluation.metrics import CUTOFFS, beyond_accuracy, means, per_row, self_information


def test_hand_worked() -> None:
    values = per_row(np.array([1, 3, 10, 11]))
    assert values["hit_rate@10"].tolist() == [1, 1, 1, 0]
    assert values["recall@5"].tolist() == [1, 1, 0, 0]
    assert values["ndcg@10"].tolist() == pytest.approx([1, 0.5, 1 / math.log2(11), 0])
    assert values["mrr@20"].tolist() == pytest.approx([1, 1 / 3, 0.1, 1 / 11])
    assert means(np.array([1, 3, 10, 11]))["mrr@5"] == pytest.approx((1 + 1 / 3) / 4)


def test_names_are_metric_at_cutoff() -> None:
    expected = {f"{name}@{k}" for name in ("recall", "hit_rate", "ndcg", "mrr") for k in (5, 10, 20)}
    assert set(per_row(np.array([1]))) == expected


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_bounds_and_order(ranks: list[int]) -> None:
    values = means(np.array(ranks))
    for k in CUTOFFS:
        assert 0 <= values[f"mrr@{k}"] <= values[f"ndcg@{k}"] <= values[f"hit_rate@{k}"] <= 1
        assert values[f"recall@{k}"] == values[f"hit_rate@{k}"]
    assert values["ndcg@5"] <= values["ndcg@10"] <= values["ndcg@20"]


def test_equal_to_ranx() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(60, 50))
    targets = rng.integers(0, 50, size=60)
    ranks = (scores >= scores[np.arange(60), targets][:, None]).sum(1)
    qrels = Qrels({f"u{row}": {f"i{item}": 1} for row, item in enumerate(targets)})
    run = Run({f"u{row}": {f"i{item}": float(score) for item, score in enumerate(scores[row])} for row in range(60)})
    names = [f"{name}@{k}" for name in ("recall", "hit_rate", "ndcg", "mrr") for k in CUTOFFS]
    assert means(ranks) == pytest.approx(ranx_evaluate(qrels, run, names), abs=1e-12)


def test_no_rows_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no rows"):
        means(np.array([], dtype=np.int64))


def test_coverage_popularity_and_novelty_of_the_lists() -> None:
    counts = np.array([0, 11, 3, 0, 10])  # with one more each: 12, 4, 1 and 11 of 28
    lists = np.array([[1, 2, 0], [1, 3, 0]])
    found = beyond_accuracy(lists, counts)
    bits = 2 * math.log2(28 / 12) + math.log2(28 / 4) + math.log2(28 / 1)
    assert found == pytest.approx({"coverage@10": 0.75, "mean_popularity@10": 25 / 4, "novelty@10": bits / 4})
    nothing = beyond_accuracy(np.zeros((2, 3), dtype=np.int32), counts)
    assert nothing == {"coverage@10": 0, "mean_popularity@10": 0, "novelty@10": 0}


def test_only_the_first_ten_of_a_list_count() -> None:
    counts = np.array([0, *range(12, 0, -1)])
    lists = np.arange(1, 13, dtype=np.int32)[None]
    assert beyond_accuracy(lists, counts) == beyond_accuracy(lists[:, :10], counts)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_self_information_is_that_of_a_distribution_over_the_catalog(counts: list[int]) -> None:
    information = self_information(np.array([0, *counts]))[1:]
    assert (2.0**-information).sum() == pytest.approx(1)
    assert (np.diff(information[np.argsort(counts, kind="stable")]) <= 1e-12).all()  # the rarer, the more


def test_equally_popular_items_are_worth_the_logarithm_of_their_number() -> None:
    assert self_information(np.array([0, *[7] * 8]))[1:] == pytest.approx([3] * 8)
