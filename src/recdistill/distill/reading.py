"""How a teacher reads its targets: windows in batches, and what a batch predicts as rows of the store."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import ExportConfig
from recdistill.data.batches import in_parts, sorted_batches
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.data.streams import few_inputs
from recdistill.data.windows import Windows
from recdistill.distill.exportable import Exportable, Growing, Keys
from recdistill.distill.lists import hide_history
from recdistill.distill.parts import StoreRows
from recdistill.errors import UserError
from recdistill.evaluation.top_k import best_items, rows_at_a_time


class TopItems(NamedTuple):
    """The K best items of M targets: int32 (M, K), 0 in empty places, and their scores, fp32 (M, K), -inf there."""

    items: IntArray
    scores: NDArray[np.float32]


class Reading(NamedTuple):
    """A batch of windows and how it is read: keys, user states (M, S), and the scores (M, N + 1) in pieces."""

    rows: LongArray
    predict: Callable[[Windows, LongArray], tuple[Keys, Tensor, Iterable[Tensor]]]


class ReadingPlan:
    """All batches in which a teacher reads its targets, in the order of the store's rows.

    Args:
        teacher: what is run.
        data: the histories.
        config: of the export.
        size: prompts a batch.
        score_memory: MiB of scores held at a time: a batch with more targets is read in parts, of one window at least.

    Attributes:
        ends: int64 (batches + 1,), rows before each batch, and all rows.
    """

    def __init__(
        self, teacher: Exportable, data: PreparedData, config: ExportConfig, size: int, score_memory: int
    ) -> None:
        self.data, self.config, self.windows = data, config, teacher.export_windows()
        most = rows_at_a_time(data.num_items, score_memory)
        lengths = teacher.prompt_lengths(self.windows)
        self.batches = _batches(teacher, self.windows, lengths, size, config.use_cache, most)
        counts = (int(self.windows.num_targets[batch.rows].sum()) for batch in self.batches)
        self.ends = np.cumsum([0, *counts], dtype=np.int64)
        self.top_k = min(config.top_k, data.num_items)
        self.state_dim = teacher.state_dim if config.states else 0

    @property
    def rows(self) -> int:
        """Rows of the store."""
        return int(self.ends[-1])

    def predict(self, number: int) -> StoreRows:
        """Read a batch.

        Raises:
            UserError: a score or a state is not a number.
        """
        return predict_rows(self.windows, self.batches[number], self.data, self.top_k, self.config)


def _batches(
    teacher: Exportable,
    windows: Windows,
    lengths: NDArray[np.int64],
    size: int,
    use_cache: bool,
    most_targets: int,
) -> list[Reading]:
    """All windows in batches, reader by reader: those that grow by users, `size` together, the rest by length.

    A batch has at most `most_targets` targets, or one window.
    """
    cached = teacher.growing if use_cache else None
    growing = np.zeros(len(windows), dtype=np.bool_) if cached is None else cached.fits(windows)

    def whole(windows: Windows, rows: LongArray) -> tuple[Keys, Tensor, Iterable[Tensor]]:
        keys, states, scores = teacher.predict(windows, rows, size)
        return keys, states, [scores]

    readers, batches, each = teacher.readers(windows), [], teacher.inputs_per_prompt
    for reader in np.unique(readers):
        own = readers == reader
        rest = np.flatnonzero(own & ~growing)
        for rows in sorted_batches(lengths[rest], size):
            held = [rest[rows]] if each is None else few_inputs(windows, rest[rows], each * size)
            batches += [Reading(part, whole) for few in held for part in _few_targets(windows, few, most_targets)]
        if cached is not None:
            batches += _by_users(cached, windows, np.flatnonzero(own & growing), min(size, most_targets))
    return batches


def _few_targets(windows: Windows, rows: LongArray, most: int) -> list[LongArray]:
    """Rows in as many parts, in their order, as have no more than `most` targets each; one row may have more."""
    return in_parts(rows, windows.num_targets[rows], most)


def _by_users(cached: Growing, windows: Windows, rows: LongArray, size: int) -> list[Reading]:
    """Windows that grow, with `size` users in a batch."""

    def grown(windows: Windows, rows: LongArray) -> tuple[Keys, Tensor, Iterable[Tensor]]:
        # A group of users has as many targets as interactions: all their scores at once would be most of the memory.
        keys, states = cached.predict(windows, rows)
        return keys, states, (cached.scores(states[at : at + size]) for at in range(0, len(states), size))

    users, counts = np.unique(windows.users[rows], return_counts=True)
    groups = sorted_batches(counts, size)
    # A user's rows stand together, so that the order of all rows is the same with any number of users in a group.
    by_user = {int(user): rows[windows.users[rows] == user] for user in users}
    return [Reading(np.concatenate([by_user[int(user)] for user in users[group]]), grown) for group in groups]


def predict_rows(windows: Windows, batch: Reading, data: PreparedData, top_k: int, config: ExportConfig) -> StoreRows:
    """One batch of windows: the keys of its targets, their lists and, where they are kept, user states."""
    rows = batch.rows
    keys, states, pieces = batch.predict(windows, rows)
    targets = Targets(keys.users.cpu().numpy().astype(np.int32), keys.positions.cpu().numpy().astype(np.int32))
    expected = int(windows.num_targets[rows].sum())
    if len(targets) != expected:
        raise ValueError(f"the teacher made {len(targets)} predictions for {expected} targets")
    kept = (states if config.states else states[:, :0]).half()
    # States that are not kept need not be numbers in half precision.
    _check_numbers(bool(torch.isfinite(kept if config.states else states).all()))
    tops, start = [], 0
    for scores in pieces:
        _check_numbers(not bool(torch.isnan(scores[:, 1:]).any()))
        here = slice(start, start + len(scores))
        part = Targets(targets.users[here], targets.positions[here])
        tops.append(top_items(scores, data, part, top_k, bool(config.exclude_seen)))
        start += len(scores)
    top = TopItems(*map(np.concatenate, zip(*tops, strict=True)))
    return StoreRows(targets.users, targets.positions, top.items, top.scores, kept.cpu().numpy())


def _check_numbers(good: bool) -> None:
    """Stop the export, unless what the teacher computed are numbers."""
    if not good:
        raise UserError(
            "export: the teacher's scores or states are not numbers: its training has diverged or overflowed"
        )


def top_items(scores: Tensor, data: PreparedData, targets: Targets, top_k: int, exclude_seen: bool) -> TopItems:
    """The K best items of each target, of equal scores the lower item; the scores are changed in place.

    Args:
        scores: (M, N + 1).
        data: the histories.
        targets: the M keys.
        top_k: K, at most N.
        exclude_seen: whether items of the history are left out, see :func:`recdistill.distill.lists.hide_history`.
    """
    if exclude_seen:
        hide_history(scores, data, targets)
    scores[:, 0] = -torch.inf
    values, columns = best_items(scores.float(), top_k)
    listed = columns.masked_fill(values == -torch.inf, 0)
    return TopItems(listed.int().cpu().numpy(), values.cpu().numpy())
