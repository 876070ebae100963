"""What computes the answers: histories of item numbers in, the best items and their scores out.

One rule orders equal scores everywhere: the lower item number comes first.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
LongArray = NDArray[np.int64]
SCORE_MEMORY = 512
"""MiB of scores held at a time where nothing else is asked for, as `evaluate.max_score_memory` has it."""


class Engine(Protocol):
    """A trained student, by whatever library runs it. Answering changes nothing in it, from however many threads.

    Attributes:
        num_items: items N.
        max_length: latest items of a history that it looks at.
    """

    num_items: int
    max_length: int

    @property
    def item_vectors(self) -> FloatArray:
        """Item vectors (N + 1, D), row 0 the padding's."""
        ...

    def best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items, best first; where fewer than K are left, scores are -inf and the
        numbers mean nothing.

        Args:
            histories: B histories of item numbers 1..N, none empty, of any length.
            top_k: K, at most N.
            exclude_seen: leave all items of a history out of its row.
        """
        ...

    def states(self, histories: Sequence[Sequence[int]]) -> FloatArray:
        """States (B, D) after the histories; an item's score is its vector · state."""
        ...


def padded(histories: Sequence[Sequence[int]], length: int) -> LongArray:
    """The latest `length` items of each history, padded on the right with 0: int64 (B, L), L the longest of them."""
    latest = [history[-length:] for history in histories]
    if len(latest) == 1:
        return np.array(latest, dtype=np.int64)
    rows = np.zeros((len(latest), max(map(len, latest), default=0)), dtype=np.int64)
    for row, history in zip(rows, latest, strict=True):
        row[: len(history)] = history
    return rows


def best_of(scores: FloatArray, top_k: int) -> LongArray:
    """Columns (B, K) of the highest scores of each row (B, N), highest first, of equal scores the lower column."""
    if top_k >= scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    least = -np.partition(-scores, top_k - 1, axis=1)[:, top_k - 1 : top_k]
    chosen = np.empty((len(scores), top_k), dtype=np.int64)
    for row, (values, enough) in enumerate(zip(scores, scores >= least, strict=True)):
        columns = np.flatnonzero(enough)
        chosen[row] = columns[np.argsort(-values[columns], kind="stable")][:top_k]
    return chosen
