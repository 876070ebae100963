"""Ranking metrics with one target a row: pure functions of the target's rank (1 is best)."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
CUTOFFS = (5, 10, 20)


def recall(ranks: NDArray[np.int64], k: int) -> Values:
    """1 where the target stands among the first k, else 0. With one target a row, recall is the hit rate."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: NDArray[np.int64], k: int) -> Values:
    """1 / log2(rank + 1) among the first k, else 0; with one target the ideal gain is 1 (Järvelin & Kekäläinen 2002)."""
    return np.where(ranks <= k, 1 / np.log2(ranks + 1.0), 0.0)


def mrr(ranks: NDArray[np.int64], k: int) -> Values:
    """1 / rank among the first k, else 0."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def per_row(ranks: NDArray[np.int64]) -> dict[str, Values]:
    """Every metric at every cutoff, row by row: `recall@k`, `hit_rate@k`, `ndcg@k`, `mrr@k`."""
    values = {}
    for k in CUTOFFS:
        hits = recall(ranks, k)
        values |= {f"recall@{k}": hits, f"hit_rate@{k}": hits, f"ndcg@{k}": ndcg(ranks, k), f"mrr@{k}": mrr(ranks, k)}
    return values


def means(ranks: NDArray[np.int64]) -> dict[str, float]:
    """Every metric at every cutoff, averaged over the rows."""
    return {name: float(values.mean()) for name, values in per_row(ranks).items()}
