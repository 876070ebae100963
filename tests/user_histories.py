"""Prepared data with users of chosen lengths."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import PreparedData


def with_lengths(data: PreparedData, lengths: Sequence[int] | NDArray[np.int64]) -> PreparedData:
    """The same items, and as many users with as many interactions each; the last two are validation and test."""
    counts = np.asarray(lengths)
    return replace(
        data,
        items=np.random.default_rng(7).integers(1, data.num_items + 1, size=int(counts.sum())).astype(np.int32),
        timestamps=np.arange(int(counts.sum()), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        train_ends=(counts - 2).astype(np.int32),
        validation_ends=(counts - 1).astype(np.int32),
    )
