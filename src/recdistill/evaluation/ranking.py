"""The rank of each target among all items of the catalog, a batch of histories at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.interruption import stop_point
from recdistill.progress import progress_bar

MISS = 2**31 - 1
"""The rank of a target that could not be ranked. N + 1 would be a hit wherever the catalog is shorter than the list."""


class Scorer(Protocol):
    """Anything that can score the whole catalog for a history."""

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores of all items for the histories before B targets.

        Args:
            users: (B,) int32.
            positions: (B,) int32, at least 1; the history of a row is what its user did before that position.

        Returns:
            Floats (B, N+1), higher is better; column 0, the padding's, is never read.
        """
        ...


@dataclass(frozen=True)
class Ranking:
    """Where one scorer put the targets, row by row.

    Attributes:
        ranks: int64 (rows,), from 1; :data:`MISS` for a repeat.
        top_items: int32 (rows, K), best first, equal scores in no fixed order; 0 where fewer than K items are left.
        repeats: rows whose target had been seen before while seen items were filtered: misses, whatever the scores.
        candidate_ranks: int64 (rows,), the target's rank among itself and its row's candidates, 0 where the row has
            none; None without any.
    """

    ranks: LongArray
    top_items: IntArray
    repeats: int
    candidate_ranks: LongArray | None = None


def rank(
    data: PreparedData,
    targets: Targets,
    scorer: Scorer,
    batch_size: int,
    filter_seen: bool,
    top_k: int,
    description: str = "ranking",
    candidates: IntArray | None = None,
) -> Ranking:
    """Rank every target among all items.

    A target's rank is 1 plus the number of other items that score at least as much: ties count against it, so that a
    constant scorer is last, not first. Batches hold histories of similar length, so that a scorer that pads to the
    longest of a batch pads little.

    Args:
        data: the histories.
        targets: the rows to rank.
        scorer: what ranks; put its model into evaluation mode first.
        batch_size: B, histories scored at a time; their scores take 4·B·(N+1) bytes.
        filter_seen: leave every item of the whole history out of the ranking, also what the model's window has cut off.
        top_k: K, at most N.
        description: what the progress bar is called.
        candidates: (rows, C) items; each target is also ranked among its row's, by the same scores, rules and misses.

    Raises:
        UserError: a score is not a number.
        ValueError: the scores have another shape than (B, N+1).
    """
    ranks = np.empty(len(targets), dtype=np.int64)
    top_items = np.empty((len(targets), min(top_k, data.num_items)), dtype=np.int32)
    candidate_ranks = None if candidates is None else np.empty(len(targets), dtype=np.int64)
    repeats = 0
    order = np.argsort(targets.positions, kind="stable")
    with torch.no_grad(), progress_bar(description, len(targets), "histories") as progress:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = Targets(targets.users[rows], targets.positions[rows])
            scores = _checked(scorer.score(batch.users, batch.positions), (len(rows), data.num_items + 1), scorer)
            one = _rank_batch(data, batch, scores, filter_seen, top_items.shape[1])
            ranks[rows], top_items[rows] = one.ranks, one.top_items
            repeats += one.repeats
            if candidates is not None and candidate_ranks is not None:
                among = _ranks_among(scores, data.target_items(batch), candidates[rows])
                drawn = candidates[rows, 0] > 0
                candidate_ranks[rows] = np.where(drawn, np.where(one.ranks == MISS, MISS, among), 0)
            progress.advance(len(rows))
            stop_point()
    return Ranking(ranks, top_items, repeats, candidate_ranks)


def _checked(scores: Tensor, shape: tuple[int, int], scorer: Scorer) -> Tensor:
    """Refuse scores that cannot be compared."""
    if tuple(scores.shape) != shape:
        raise ValueError(f"{type(scorer).__name__}: scores are {tuple(scores.shape)}, not {shape}")
    if bool(torch.isnan(scores[:, 1:]).any()):
        raise UserError("evaluate: a model's scores are not numbers (NaN): its training has diverged or overflowed")
    return scores


def _rank_batch(data: PreparedData, batch: Targets, scores: Tensor, filter_seen: bool, top_k: int) -> Ranking:
    """Rank one batch from its scores (B, N+1)."""
    target = torch.from_numpy(data.target_items(batch).astype(np.int64)).to(scores.device).unsqueeze(1)  # (B, 1)
    left_out = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    left_out[:, 0] = True
    if filter_seen:
        rows, items = (torch.from_numpy(index).to(scores.device) for index in seen_items(data, batch))
        left_out[rows, items] = True
    repeated = left_out.gather(1, target).squeeze(1)
    at_least = scores >= scores.gather(1, target)  # the target itself included: that is the 1 of its rank
    ranks = (at_least & ~left_out).sum(dim=1).masked_fill(repeated, MISS)
    best = torch.topk(scores.masked_fill(left_out, -torch.inf), top_k)
    top_items = best.indices.masked_fill(left_out.gather(1, best.indices), 0)
    return Ranking(ranks.cpu().numpy(), top_items.int().cpu().numpy(), int(repeated.sum()))


def _ranks_among(scores: Tensor, targets: IntArray, candidates: IntArray) -> LongArray:
    """1 plus the candidates (B, C) that score at least as much as the target (B,), from all scores (B, N+1)."""
    target, others = (
        torch.from_numpy(items.astype(np.int64)).to(scores.device) for items in (targets[:, None], candidates)
    )
    ranks: LongArray = (1 + (scores.gather(1, others) >= scores.gather(1, target)).sum(dim=1)).cpu().numpy()
    return ranks


def seen_items(data: PreparedData, batch: Targets) -> tuple[LongArray, LongArray]:
    """Row and item of every interaction of the batch's histories."""
    lengths = batch.positions.astype(np.int64)
    rows, within = unrolled(lengths)
    return rows, data.items[data.offsets[batch.users][rows] + within].astype(np.int64)


def unrolled(lengths: LongArray) -> tuple[LongArray, LongArray]:
    """Rows of these lengths, end to end: for each place its row, and its number within the row from 0."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class _SequenceScorer:
    """See :func:`sequence_scorer`."""

    def __init__(
        self, last_scores: Callable[[Tensor], Tensor], data: PreparedData, max_length: int, device: str
    ) -> None:
        self.last_scores, self.data, self.max_length, self.device = last_scores, data, max_length, device

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N+1) for the latest items of the histories."""
        windows = latest_items(self.data, users, positions, self.max_length)
        return self.last_scores(torch.from_numpy(windows).to(self.device))


def sequence_scorer(
    last_scores: Callable[[Tensor], Tensor], data: PreparedData, max_length: int, device: str = "cpu"
) -> Scorer:
    """Make a scorer from a model that reads item sequences.

    Args:
        last_scores: histories (B, L) int64, oldest item first, 0 to the right → scores (B, N+1) of what comes next.
        data: where the histories are.
        max_length: the latest items of a history that the model is given.
        device: where the model is.
    """
    return _SequenceScorer(last_scores, data, max_length, device)


def latest_items(data: PreparedData, users: IntArray, positions: IntArray, max_length: int) -> NDArray[np.int64]:
    """The last `max_length` items before each position: (B, L), oldest first, 0 to the right, L as short as can be."""
    lengths = np.minimum(positions, max_length).astype(np.int64)
    places = np.arange(lengths.max(initial=0))
    events = (data.offsets[users] + positions - lengths)[:, None] + places
    real = places < lengths[:, None]
    return np.where(real, data.items[np.where(real, events, 0)], 0).astype(np.int64)
