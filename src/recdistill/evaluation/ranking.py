"""Full-catalog ranking: every item is scored for every history, in chunks, and the target's rank among them is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.batches import Windows, collate, history_windows, sorted_batches
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.errors import UserError


class Scorer(Protocol):
    """Anything that scores the whole catalog for histories."""

    def batches(self, targets: Targets, batch_size: int) -> list[NDArray[np.int64]]:
        """The rows of `targets`, each once, in the batches this scorer likes best."""
        ...

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1) of all items after the first `positions` events of each user; column 0 is ignored."""
        ...


class SequenceScorer:
    """Scores by a function of right-padded histories; histories of like lengths are scored together.

    Args:
        last_scores: int64 (B, L) → (B, N + 1).
        data: the histories.
        max_length: items of a history that the function gets, the latest ones.
        device: where the function wants its input.
    """

    def __init__(self, last_scores: Callable[[Tensor], Tensor], data: PreparedData, max_length: int, device: str) -> None:
        self.last_scores, self.data, self.max_length, self.device = last_scores, data, max_length, device

    def batches(self, targets: Targets, batch_size: int) -> list[NDArray[np.int64]]:
        """Batches of like lengths."""
        return sorted_batches(np.minimum(targets.positions, self.max_length), batch_size)

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1)."""
        windows: Windows = history_windows(self.data, Targets(users, positions), self.max_length)
        batch = collate(self.data, windows, np.arange(len(windows)))
        return self.last_scores(batch.items.to(self.device))


@dataclass(frozen=True)
class Ranking:
    """Where each target stood: `ranks` int64 (rows,), from 1; and the K best items of each row, int32 (rows, K).

    `repeats` counts the rows whose target stood in the history already: where seen items are left out, such a target
    cannot be found, and its rank is N + 1.
    """

    ranks: LongArray
    top_items: IntArray
    repeats: int


@torch.inference_mode()
def rank(
    data: PreparedData, targets: Targets, scorer: Scorer, batch_size: int, filter_seen: bool, top_k: int = 20
) -> Ranking:
    """Rank the whole catalog for each target.

    A tie counts against the target: its rank is one more than the number of other items that score as much or more, so
    a model that scores all alike finds nothing.

    Args:
        data: the histories.
        targets: rows to rank.
        scorer: the model.
        batch_size: rows scored at a time.
        filter_seen: leave all items of the whole history out.
        top_k: length K of the kept lists.

    Raises:
        UserError: a score is not a number.
    """
    wanted = data.target_items(targets).astype(np.int64)
    ranks = np.empty(len(targets), dtype=np.int64)
    tops = np.empty((len(targets), min(top_k, data.num_items)), dtype=np.int32)
    repeats = 0
    for rows in scorer.batches(targets, batch_size):
        users, positions = targets.users[rows], targets.positions[rows]
        scores = scorer.score(users, positions).float().cpu()
        if torch.isnan(scores[:, 1:]).any():
            raise UserError("evaluation: a model's score is not a number; it was not trained well enough to be ranked")
        scores[:, 0] = -torch.inf
        seen = _seen_items(data, users, positions)
        repeated = (data.items[seen.events] == wanted[rows][seen.rows]).astype(np.int64)
        again = np.bincount(seen.rows, weights=repeated, minlength=len(rows)) > 0
        repeats += int(again.sum())
        if filter_seen:
            scores[torch.from_numpy(seen.rows), torch.from_numpy(data.items[seen.events].astype(np.int64))] = -torch.inf
        own = scores.gather(1, torch.from_numpy(wanted[rows]).unsqueeze(1))
        above = (scores[:, 1:] >= own).sum(dim=1).numpy()
        ranks[rows] = np.where(again & filter_seen, data.num_items + 1, above)
        tops[rows] = scores.topk(tops.shape[1], dim=1).indices.numpy()
    return Ranking(ranks, tops, repeats)


@dataclass(frozen=True)
class _Seen:
    """Which events stand in which row's history: `rows` and `events`, int64 (all histories' events,)."""

    rows: LongArray
    events: LongArray


def _seen_items(data: PreparedData, users: IntArray, positions: IntArray) -> _Seen:
    rows = np.repeat(np.arange(len(users)), positions)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(positions) - positions, positions)
    return _Seen(rows, data.offsets[users][rows] + within)
