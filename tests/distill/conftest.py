"""Small prepared data for the packages of distillation."""

from collections.abc import Callable

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData


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
        fingerprint="d1",
        split_fingerprint="s1",
    )


@pytest.fixture(scope="session")
def make_data() -> Callable[..., PreparedData]:
    """Histories, split by leave-one-out."""
    return _make_data
