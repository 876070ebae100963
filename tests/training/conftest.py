"""Data small enough to train on in a second."""

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData


@pytest.fixture(scope="session")
def tiny_data() -> PreparedData:
    """Forty users who walk around a ring of 12 items, mostly one step at a time: 5 to 14 events each, leave one out."""
    generator = np.random.default_rng(0)
    histories = []
    for _ in range(40):
        steps = generator.choice([1, 1, 1, 2], size=generator.integers(5, 15))
        histories.append((generator.integers(12) + np.cumsum(steps)) % 12 + 1)
    lengths = np.array([len(history) for history in histories])
    items = np.concatenate(histories).astype(np.int32)
    return PreparedData(
        items=items,
        timestamps=np.arange(len(items), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=["", *(f"Item {number}" for number in range(1, 13))],
        item_ids=["", *(str(number) for number in range(1, 13))],
        fingerprint="tiny",
        split_fingerprint="tiny",
    )
