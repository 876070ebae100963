"""Streams: pieces by hand, and every target in one of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.streams import (
    export_streams,
    few_inputs,
    piece_starts,
    reading_batches,
    target_streams,
    training_streams,
)
from recdistill.data.windows import Windows

Prepared = Callable[[Sequence[Sequence[int]]], PreparedData]


def as_rows(windows: Windows) -> list[tuple[int, ...]]:
    parts = (windows.users, windows.starts, windows.ends, windows.first_targets)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def predicted(windows: Windows) -> list[tuple[int, int]]:
    return [(user, position) for user, _, end, first in as_rows(windows) for position in range(first, end + 1)]


def keys(targets: Targets) -> list[tuple[int, int]]:
    return list(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))


def test_pieces_by_hand() -> None:
    # Length 6, window 2, as drawn in the module: a piece every four inputs.
    starts = piece_starts(np.arange(1, 16), 6, 2).tolist()
    assert starts == [0] * 6 + [4] * 4 + [8] * 4 + [12]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 20), st.data())
def test_each_target_stands_in_one_stream(lengths: list[int], window: int, more: int, draw: Any) -> None:
    train = np.array([draw.draw(st.integers(0, length)) for length in lengths])
    ends = np.array([draw.draw(st.integers(low, high)) for low, high in zip(train, lengths, strict=True)])
    trained = np.array([draw.draw(st.booleans()) for _ in lengths])
    data = a_data(lengths, train, ends, trained)
    length, reach = 2 * window + more, draw.draw(st.integers(window, 60))
    streams = training_streams(data, length, window)
    assert sorted(predicted(streams)) == sorted(keys(data.targets("train")))
    wanted = sorted(keys(data.targets("train")) + keys(data.targets("validation")))
    for together in (True, False):
        streams = export_streams(data, length, window, reach, together)
        assert sorted(predicted(streams)) == wanted
        assert (streams.lengths <= length).all()
        for _, start, _, first in as_rows(streams):
            # At least the window before the first target, or all that there is.
            assert 0 <= start <= max(0, first - window)
    alone = target_streams(data, data.targets("validation"), length, window, reach)
    assert predicted(alone) == keys(data.targets("validation"))
    for _, start, end, _ in as_rows(alone):
        assert start == max(piece_starts(np.array([end]), length, window)[0], end - 1 - reach)


def a_data(lengths: list[int], train: np.ndarray, ends: np.ndarray, trained: np.ndarray) -> PreparedData:
    total = sum(lengths)
    return PreparedData(
        items=np.ones(total, dtype=np.int32),
        timestamps=np.arange(total, dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=train.astype(np.int32),
        validation_ends=ends.astype(np.int32),
        titles=["", "One"],
        item_ids=["", "1"],
        fingerprint="data",
        split_fingerprint="split",
        trained_users=trained,
    )


def test_a_target_outside_of_its_history_is_refused(prepared: Prepared) -> None:
    data = prepared([[1, 2, 3, 4, 5]])
    for position in (0, 5):
        targets = Targets(np.array([0], dtype=np.int32), np.array([position], dtype=np.int32))
        with pytest.raises(ValueError, match="inside the histories"):
            target_streams(data, targets, 6, 2, 4)


def test_a_batch_has_a_bound_of_inputs_or_one_stream() -> None:
    zeros = np.zeros(4, dtype=np.int32)
    windows = Windows(zeros, zeros, np.array([9, 3, 2, 2], dtype=np.int32), zeros + 1)
    assert [part.tolist() for part in few_inputs(windows, np.array([0, 1, 2, 3]), 5)] == [[0], [1, 2], [3]]
    parts = reading_batches(windows, windows.lengths, 3, 5)
    assert [part.tolist() for part in parts] == [[0], [1, 2], [3]]
    assert [part.tolist() for part in reading_batches(windows, windows.lengths, 3, None)] == [[0, 1, 2], [3]]
