"""Ranking metrics as pure functions of the target's rank, for one target a row.

With a single relevant item the ideal DCG is 1, so NDCG is the target's own discount, and recall is the hit rate
(Järvelin & Kekäläinen, TOIS 2002). A mean goes over rows: under leave-one-out a row is a user; under a split by time a
user with more targets weighs more.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray, LongArray

FloatArray = NDArray[np.float64]

CUTOFFS = (5, 10, 20)
"""The list lengths k at which everything is measured."""
BEYOND_CUTOFF = 10
"""The list length of coverage, popularity and novelty."""


def hit_rate(ranks: LongArray, k: int) -> FloatArray:
    """1 where the target stands among the first `k`, else 0."""
    return (ranks <= k).astype(np.float64)


def recall(ranks: LongArray, k: int) -> FloatArray:
    """Share of a row's targets among the first `k`; with one target, the hit rate."""
    return hit_rate(ranks, k)


def ndcg(ranks: LongArray, k: int) -> FloatArray:
    """1 / log2(1 + rank) where the target stands among the first `k`, else 0."""
    return np.where(ranks <= k, 1 / np.log2(1.0 + ranks), 0.0)


def reciprocal_rank(ranks: LongArray, k: int) -> FloatArray:
    """1 / rank where the target stands among the first `k`, else 0."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


METRICS: dict[str, Callable[[LongArray, int], FloatArray]] = {
    "recall": recall,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def per_row(ranks: LongArray) -> dict[str, FloatArray]:
    """Every metric at every cutoff, row by row: `{"ndcg@10": (rows,) float64, …}`."""
    return {f"{name}@{k}": metric(ranks, k) for name, metric in METRICS.items() for k in CUTOFFS}


def means(ranks: LongArray) -> dict[str, float]:
    """The mean of every metric at every cutoff: `{"ndcg@10": …, …}`.

    Raises:
        ValueError: there are no rows.
    """
    if not len(ranks):
        raise ValueError("no rows to take the mean of")
    return {name: float(values.mean()) for name, values in per_row(ranks).items()}


def beyond_accuracy(top_items: IntArray, train_counts: LongArray) -> dict[str, float]:
    """How wide, how popular and how novel the lists are, at k = 10.

    Args:
        top_items: (rows, K) lists, best first, 0 where there is no item.
        train_counts: (N+1,) train interactions of each item.

    Returns:
        `coverage@10`, the share of the catalog that stands in at least one list; `mean_popularity@10`, the train
        interactions of a listed item on average; `novelty@10`, the :func:`self_information` of a listed item on
        average, in bits. All are 0 where nothing is listed.
    """
    shown = top_items[:, :BEYOND_CUTOFF]
    shown = shown[shown > 0]
    popularity, novelty = (
        float(values[shown].mean()) if len(shown) else 0.0 for values in (train_counts, self_information(train_counts))
    )
    return {
        f"coverage@{BEYOND_CUTOFF}": len(np.unique(shown)) / (len(train_counts) - 1),
        f"mean_popularity@{BEYOND_CUTOFF}": popularity,
        f"novelty@{BEYOND_CUTOFF}": novelty,
    }


def self_information(train_counts: LongArray) -> FloatArray:
    """-log2 p(i) of each item, in bits: (N+1,) train interactions → (N+1,); index 0, the padding's, means nothing.

    Zhou et al. (PNAS 2010) call it an item's surprisal, Vargas & Castells (RecSys 2011) its novelty as free discovery.
    p(i) = (train interactions of i + 1) / (all train interactions + N): one interaction is added to each item, so that
    an item without any has a finite value, and the p(i) of the catalog still sum to 1.
    """
    smoothed = train_counts + 1.0
    information: FloatArray = -np.log2(smoothed / smoothed[1:].sum())
    return information
