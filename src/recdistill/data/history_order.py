"""Histories in a random order: the control for what the order of a history is worth.

Language models over a history were found to lose little when its order is shuffled, and sequential models much (*Lost
in Sequence*, arXiv 2502.13909).
"""

import numpy as np

from recdistill.data.prepared import IntArray, LongArray


def shuffled(items: IntArray, offsets: LongArray, train_ends: IntArray, rng: np.random.Generator) -> IntArray:
    """Each user's training items in a random order; validation and test items stay where they are.

    Args:
        items: int32 (interactions,), users one after another.
        offsets: int64 (users + 1,).
        train_ends: int32 (users,), positions before which interactions are training.
        rng: of the order.

    Returns:
        int32 (interactions,).
    """
    user = np.repeat(np.arange(len(train_ends)), np.diff(offsets))
    position = np.arange(len(items)) - offsets[user]
    # Sorted by user, then by a drawn number among training interactions; later ones keep their places behind them.
    place = np.where(position < train_ends[user], rng.random(len(items)), 1 + position)
    return np.asarray(items[np.lexsort((place, user))])
