"""What the tests of this package share: histories as prepared data, and files written in one line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData


def as_prepared(histories: Sequence[Sequence[int]]) -> PreparedData:
    """Leave-one-out data; event k of all has timestamp k."""
    lengths = np.array([len(history) for history in histories])
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    names = [""] + [f"item {number}" for number in range(1, int(items.max(initial=0)) + 1)]
    return PreparedData(
        items=items,
        timestamps=np.arange(len(items), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=names,
        item_ids=names,
        fingerprint="",
        split_fingerprint="",
    )


@pytest.fixture(scope="session")
def prepared() -> Callable[[Sequence[Sequence[int]]], PreparedData]:
    return as_prepared


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file into the test's folder."""

    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file
