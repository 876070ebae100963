"""Windows over users' histories and batches of them: arrays in, padded tensors out, no loop over rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData, Targets

MEGA_BATCHES = 16
"""Batches' worth of shuffled rows that are sorted by length together: more means less padding and less shuffling."""


@dataclass(frozen=True)
class Windows:
    """Pieces of histories. The inputs are positions `starts`..`ends` - 1 of `users`, and after the input at position p
    the item at p + 1 is predicted, wherever p + 1 >= `first_targets`. All are int32 (windows,)."""

    users: IntArray
    starts: IntArray
    ends: IntArray
    first_targets: IntArray

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.users)

    @property
    def lengths(self) -> IntArray:
        """Inputs of each window."""
        return self.ends - self.starts

    @property
    def num_targets(self) -> IntArray:
        """Targets of each window."""
        return self.ends - self.first_targets + 1

    def take(self, rows: NDArray[np.integer]) -> "Windows":
        """These windows only, in this order."""
        return Windows(self.users[rows], self.starts[rows], self.ends[rows], self.first_targets[rows])


@dataclass(frozen=True)
class Batch:
    """Windows side by side, padded to the right with 0.

    Attributes:
        users: int64 (B,).
        positions: int64 (B, L), the position of each input in its user's history; meaningless at padding.
        items: int64 (B, L), the inputs.
        targets: int64 (B, L), the item to predict after each input; 0 where nothing is predicted.
    """

    users: Tensor
    positions: Tensor
    items: Tensor
    targets: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`."""
        return Batch(*(value.to(device) for value in (self.users, self.positions, self.items, self.targets)))


def training_windows(data: PreparedData, max_length: int, coverage: Literal["last", "all"]) -> Windows:
    """Windows over each user's train events.

    `last`: one window a user, over the latest `max_length` inputs. `all`: every training target exactly once; a longer
    history is cut into windows in which `max_length // 2` items or more stand before each target that is not among the
    first `max_length`.
    """
    ends = data.train_ends - 1
    users = np.flatnonzero(ends >= 1).astype(np.int32)
    ends = ends[users]
    if coverage == "last":
        starts = np.maximum(ends - max_length, 0)
        return _windows(users, starts, ends, starts + 1)
    step = max(1, max_length - max_length // 2)
    extra = np.maximum(-(-(ends - max_length) // step), 0)
    rows = np.repeat(np.arange(len(users)), extra + 1)
    turn = np.arange(len(rows)) - np.repeat(np.cumsum(extra + 1) - (extra + 1), extra + 1)
    cut_ends = np.minimum(max_length + turn * step, ends[rows])
    starts = np.maximum(cut_ends - max_length, 0)
    first = np.where(turn == 0, 1, max_length + (turn - 1) * step + 1)
    return _windows(users[rows], starts, cut_ends, first)


def history_windows(data: PreparedData, targets: Targets, max_length: int) -> Windows:
    """For each target the window of the `max_length` items before it, with that one target."""
    starts = np.maximum(targets.positions - max_length, 0)
    return _windows(targets.users, starts, targets.positions, targets.positions)


def _windows(*arrays: NDArray[np.integer]) -> Windows:
    return Windows(*(np.ascontiguousarray(array, dtype=np.int32) for array in arrays))


def bucketed_batches(
    lengths: NDArray[np.integer], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Every row once, in batches of like lengths.

    The rows are shuffled, cut into stretches of some batches, sorted by length within each, cut into batches; then the
    batches are shuffled. All by `generator`.
    """
    order = generator.permutation(len(lengths))
    stretch = batch_size * MEGA_BATCHES
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), stretch):
        rows = order[start : start + stretch]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches.extend(rows[first : first + batch_size] for first in range(0, len(rows), batch_size))
    return [batches[index] for index in generator.permutation(len(batches))]


def sorted_batches(lengths: NDArray[np.integer], batch_size: int) -> list[NDArray[np.int64]]:
    """Every row once, longest first, in batches of like lengths: for reading, where order does not matter."""
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def collate(data: PreparedData, windows: Windows, rows: NDArray[np.integer]) -> Batch:
    """The windows `rows`, padded to the longest of them."""
    chosen = windows.take(rows)
    column = np.arange(int(chosen.lengths.max()), dtype=np.int64)
    real = column < chosen.lengths[:, None]
    positions = chosen.starts[:, None].astype(np.int64) + np.where(real, column, 0)
    places = data.offsets[chosen.users][:, None] + positions
    items = np.where(real, data.items[places], 0)
    # The last input of a window may be the last event there is; what follows it is looked up only where predicted.
    predicted = real & (positions + 1 >= chosen.first_targets[:, None])
    targets = np.where(predicted, data.items[np.where(predicted, places + 1, places)], 0)
    arrays = (chosen.users, positions, items, targets)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)) for array in arrays))
