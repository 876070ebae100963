from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.batches import bucketed_batches, sorted_batches, token_batches
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows, collate, history_windows, training_windows

Prepared = Callable[[Sequence[Sequence[int]]], PreparedData]
Make = Callable[..., list[Any]]
Row = tuple[int, int, int, int]
history_lengths = st.lists(st.integers(3, 30), min_size=1, max_size=6)


def as_rows(windows: Windows) -> list[Row]:
    columns = (windows.users, windows.starts, windows.ends, windows.first_targets)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def numbered(prepared: Prepared, lengths: list[int]) -> PreparedData:
    """Histories in which no two events have one item."""
    ends = np.cumsum(lengths)
    return prepared(
        [list(range(int(end) - length + 1, int(end) + 1)) for end, length in zip(ends, lengths, strict=True)]
    )


def test_last_windows_by_hand(prepared: Prepared) -> None:
    data = numbered(prepared, [3, 4, 9])
    # Train ends are 1, 2 and 7: no target; one input; six inputs of which four are seen.
    assert as_rows(training_windows(data, 4, "last")) == [(1, 0, 1, 1), (2, 2, 6, 3)]


def test_all_windows_by_hand(prepared: Prepared) -> None:
    data = numbered(prepared, [3, 4, 14])
    assert as_rows(training_windows(data, 5, "all")) == [(1, 0, 1, 1), (2, 0, 5, 1), (2, 3, 8, 6), (2, 6, 11, 9)]
    # The last window is as short as its targets allow.
    assert as_rows(training_windows(data, 8, "all")) == [(1, 0, 1, 1), (2, 0, 8, 1), (2, 4, 11, 9)]


@given(lengths=history_lengths, max_length=st.integers(1, 12))
def test_all_windows_hold_every_training_target_once(prepared: Prepared, lengths: list[int], max_length: int) -> None:
    data = numbered(prepared, lengths)
    windows = training_windows(data, max_length, "all")
    found = [(user, position) for user, _, end, first in as_rows(windows) for position in range(first, end + 1)]
    targets = data.targets("train")
    assert found == list(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))
    assert int(windows.num_targets.sum()) == len(targets)
    for _, start, end, first in as_rows(windows):
        assert 0 < end - start <= max_length
        assert first - 1 - start == (max_length // 2 if start else 0)


@given(lengths=history_lengths, max_length=st.integers(1, 12))
def test_last_windows_hold_the_latest_training_targets(prepared: Prepared, lengths: list[int], max_length: int) -> None:
    data = numbered(prepared, lengths)
    for user, start, end, first in as_rows(training_windows(data, max_length, "last")):
        assert end == data.train_ends[user] - 1
        assert start == max(0, end - max_length)
        assert first == start + 1


@given(lengths=history_lengths, max_length=st.integers(1, 12), seed=st.integers(0, 3))
def test_collated_targets_are_the_data_s(prepared: Prepared, lengths: list[int], max_length: int, seed: int) -> None:
    data = numbered(prepared, lengths)
    for coverage in ("last", "all"):
        check_batches(data, training_windows(data, max_length, coverage), seed)
    for split in ("train", "validation", "test"):
        targets = data.targets(split)
        windows = history_windows(data, targets, max_length)
        assert windows.num_targets.tolist() == [1] * len(targets)
        check_batches(data, windows, seed)
    assert int(data.items[-1]) == int(collate(data, windows, np.array([-1])).targets.max())


def check_batches(data: PreparedData, windows: Windows, seed: int) -> None:
    """Every entry against the plain definition, row by row."""
    for rows in bucketed_batches(windows.lengths, 3, np.random.default_rng(seed)):
        batch = collate(data, windows, rows)
        assert batch.items.shape == (len(rows), int(windows.lengths[rows].max()))
        for b, (user, start, end, first) in enumerate(as_rows(windows.take(rows))):
            history, length = data.items[data.offsets[user] : data.offsets[user + 1]].tolist(), end - start
            following = [history[p + 1] if p + 1 >= first else 0 for p in range(start, end)]
            assert batch.users[b] == user
            assert batch.items[b].tolist() == history[start:end] + [0] * (batch.items.shape[1] - length)
            assert batch.targets[b].tolist() == following + [0] * (batch.items.shape[1] - length)
            assert batch.positions[b, :length].tolist() == list(range(start, end))


def test_collate_by_hand(prepared: Prepared) -> None:
    data = prepared([[1, 2, 3, 4, 5], [6, 7, 8, 9]])
    batch = collate(data, training_windows(data, 2, "last"), np.array([1, 0]))
    assert batch.users.tolist() == [1, 0]
    assert batch.items.tolist() == [[6, 0], [1, 2]]
    assert batch.targets.tolist() == [[7, 0], [2, 3]]
    assert batch.positions.tolist() == [[0, 0], [0, 1]]
    assert [tensor.dtype for tensor in (batch.users, batch.items, batch.targets)] == [torch.int64] * 3
    assert batch.positions.dtype == torch.int32
    assert torch.equal(batch.to("cpu").items, batch.items)


def test_history_windows_by_hand(prepared: Prepared) -> None:
    data = prepared([[1, 2, 3, 4, 5], [6, 7, 8, 9]])
    windows = history_windows(data, data.targets("test"), 3)
    assert as_rows(windows) == [(0, 1, 4, 4), (1, 0, 3, 3)]
    batch = collate(data, windows, np.arange(2))
    assert batch.items.tolist() == [[2, 3, 4], [6, 7, 8]]
    assert batch.targets.tolist() == [[0, 0, 5], [0, 0, 9]]


@pytest.mark.parametrize("position", [0, 4])
def test_targets_outside_the_history(prepared: Prepared, position: int) -> None:
    targets = Targets(np.array([1], dtype=np.int32), np.array([position], dtype=np.int32))
    with pytest.raises(ValueError, match="inside the histories"):
        history_windows(prepared([[1, 2, 3, 4, 5], [6, 7, 8, 9]]), targets, 3)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 9), st.integers(1, 4), st.integers(0, 9))
def test_bucketed_batches_hold_every_row_once(lengths: list[int], size: int, factor: int, seed: int) -> None:
    batches = bucketed_batches(np.array(lengths), size, np.random.default_rng(seed), factor)
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    assert all(0 < len(batch) <= size for batch in batches)
    again = bucketed_batches(np.array(lengths), size, np.random.default_rng(seed), factor)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(0, 9))
def test_token_batches_stay_within_the_budget(lengths: list[int], max_tokens: int, seed: int) -> None:
    batches = token_batches(np.array(lengths), max_tokens, np.random.default_rng(seed))
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) * longest <= max_tokens or len(batch) == 1


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padding in all batches together."""
    return float(1 - lengths.sum() / sum(len(rows) * lengths[rows].max() for rows in batches))


@pytest.mark.parametrize(("make", "size"), [(bucketed_batches, 32), (token_batches, 1600)])
def test_buckets_leave_little_padding_and_much_chance(make: Make, size: int) -> None:
    lengths = np.random.default_rng(0).geometric(0.02, 4000).clip(1, 200)
    batches, unsorted, other = (
        make(lengths, size, np.random.default_rng(seed), factor) for seed, factor in ((1, 16), (1, 1), (2, 16))
    )
    assert padding(lengths, batches) < 0.12
    assert padding(lengths, unsorted) > 0.4
    assert {frozenset(rows.tolist()) for rows in batches}.isdisjoint(frozenset(rows.tolist()) for rows in other)
    longest = [int(lengths[rows].max()) for rows in batches]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_sorted_batches() -> None:
    batches = sorted_batches(np.array([1, 5, 3, 5, 2], dtype=np.uint8), 2)
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 4], [0]]
    assert sorted_batches(np.array([], dtype=np.int32), 2) == []
