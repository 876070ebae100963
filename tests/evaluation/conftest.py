"""Small prepared data."""

import os
from collections.abc import Callable

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData

# ranx compiles each of its metrics with numba at first use, for half a minute; interpreted, they give the same numbers.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


def _make_data(*histories: list[int], num_items: int) -> PreparedData:
    lengths = np.array([len(history) for history in histories])
    return PreparedData(
        items=np.concatenate(histories).astype(np.int32),
        timestamps=np.zeros(lengths.sum(), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=["", *(f"item {number}" for number in range(1, num_items + 1))],
        item_ids=["", *(str(number) for number in range(1, num_items + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


@pytest.fixture(scope="session")
def make_data() -> Callable[..., PreparedData]:
    """Histories, split by leave-one-out."""
    return _make_data
