"""Windows over users' histories, for models that predict at every position.

    history      i0  i1  i2  i3  i4  i5      positions 0..5
    window       start=1, end=4, first_target=3
    inputs           i1  i2  i3              positions start..end-1
    targets           ·  i3  i4              after the input at position p comes the item at p + 1

Arrays in, padded tensors out; nothing loops over rows, since this runs inside the training loop.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData, Targets


@dataclass(frozen=True)
class Windows:
    """Pieces of histories: int32 arrays of one length.

    The inputs are the items at positions `starts`..`ends` - 1 of `users`; those at `first_targets`..`ends` are
    predicted, each by the input before it, so `first_targets` > `starts`.
    """

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

    def take(self, rows: NDArray[Any]) -> "Windows":
        """These windows only, in this order."""
        return Windows(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """B windows side by side, padded to the right with 0 to the longest.

    Attributes:
        users: int64 (B,).
        positions: int32 (B, L), each input's position in its user's history; its target's position is one more.
        items: int64 (B, L), the inputs.
        targets: int64 (B, L), the item to predict after each input; 0 where nothing is predicted.
    """

    users: Tensor
    positions: Tensor
    items: Tensor
    targets: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def training_windows(data: PreparedData, max_length: int, coverage: Literal["last", "all"]) -> Windows:
    """Windows over the train interactions of each user that is trained on, users in order.

    Args:
        data: the histories.
        max_length: most inputs of a window.
        coverage: `last`: one window a user, its latest inputs. `all`: every training target exactly once; of a longer
            history, each window after the first starts `max_length - max_length // 2` inputs behind the one before, so
            that `max_length // 2` inputs lead up to its first target which are targets of the window before.
    """
    users = np.flatnonzero(data.trained_ends >= 2)
    ends = data.trained_ends[users].astype(np.int64) - 1
    if coverage == "last":
        starts = np.maximum(ends - max_length, 0)
        return _windows(users, starts, ends, starts + 1)
    if coverage != "all":
        assert_never(coverage)
    step = max_length - max_length // 2
    counts = 1 + np.maximum(-(-(ends - max_length) // step), 0)
    rows, turns = np.repeat(np.arange(len(users)), counts), _within(counts)
    starts = turns * step
    first_targets = np.where(turns == 0, 1, starts + max_length - step + 1)
    return _windows(users[rows], starts, np.minimum(starts + max_length, ends[rows]), first_targets)


def history_windows(data: PreparedData, targets: Targets, max_length: int) -> Windows:
    """For each target the `max_length` items before it, as a window with that one target.

    Raises:
        ValueError: a target is nobody's, or has no item before it.
    """
    lengths = np.diff(data.offsets)[targets.users]
    if len(targets) and not ((targets.positions >= 1) & (targets.positions < lengths)).all():
        raise ValueError("targets must lie inside the histories, behind the first item")
    starts = np.maximum(targets.positions - max_length, 0)
    return _windows(targets.users, starts, targets.positions, targets.positions)


def export_windows(data: PreparedData, max_length: int, every: bool = True) -> Windows:
    """Every training target once, then every validation target once.

    Args:
        data: the histories.
        max_length: most inputs of a window.
        every: training targets share windows, a target after every input; False: each has a window of its own.
    """
    if every:
        train = training_windows(data, max_length, "all")
    else:
        train = history_windows(data, data.targets("train"), max_length)
    validation = history_windows(data, data.targets("validation"), max_length)
    pairs = zip(vars(train).values(), vars(validation).values(), strict=True)
    return Windows(*(np.concatenate(pair) for pair in pairs))


def collate(data: PreparedData, windows: Windows, rows: NDArray[Any]) -> Batch:
    """The windows `rows` side by side, in that order; there must be one at least."""
    chosen = windows.take(rows)
    columns = np.arange(chosen.lengths.max(), dtype=np.int64)
    real = columns < chosen.lengths[:, None]
    positions = np.where(real, chosen.starts[:, None] + columns, 0)
    places = data.offsets[chosen.users][:, None] + positions
    predicted = real & (positions + 1 >= chosen.first_targets[:, None])
    items = np.where(real, data.items[places], 0)
    # Behind the last input there may be no interaction at all, so only what is predicted is looked up.
    targets = np.where(predicted, data.items[places + predicted], 0)
    return Batch(
        users=torch.from_numpy(chosen.users.astype(np.int64)),
        positions=torch.from_numpy(positions.astype(np.int32)),
        items=torch.from_numpy(items.astype(np.int64)),
        targets=torch.from_numpy(targets.astype(np.int64)),
    )


def _windows(*arrays: NDArray[Any]) -> Windows:
    return Windows(*(np.ascontiguousarray(array, dtype=np.int32) for array in arrays))


def _within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0..count-1 for each count, one after another."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
