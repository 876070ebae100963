"""The rank of each target among all items of the catalog, a batch of histories at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config.evaluate import SCORE_MEMORY
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.top_k import best_items, rows_at_a_time
from recdistill.parallel.processes import ALONE, Processes
from recdistill.progress import progress_bar

MISS = 2**31 - 1
"""The rank of a target that could not be ranked. N + 1 would be a hit wherever the catalog is shorter than the list."""

AT_A_TIME = 1 << 19
"""Scores that are compared at a time on a CPU: 2 MiB."""


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
        top_items: int32 (rows, K), best first, of equal scores the lower item; 0 where fewer than K items are left.
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
    score_memory: int = SCORE_MEMORY,
    processes: Processes = ALONE,
) -> Ranking:
    """Rank every target among all items.

    A target's rank is 1 plus the number of other items that score at least as much: ties count against it, so that a
    constant scorer is last, not first. Batches hold histories of similar length, so that a scorer that pads to the
    longest of a batch pads little.

    Args:
        data: the histories.
        targets: the rows to rank.
        scorer: what ranks; put its model into evaluation mode first.
        batch_size: B, histories scored at a time; their scores take 4·B·(N+1) bytes. Fewer are where these would be
            more than `score_memory`.
        filter_seen: leave every item of the whole history out of the ranking, also what the model's window has cut off.
        top_k: K, at most N; 0: no lists are made, which is faster.
        description: what the progress bar is called.
        candidates: (rows, C) items; each target is also ranked among its row's, by the same scores, rules and misses.
        score_memory: MiB of scores held at a time, see `evaluate.max_score_memory`.
        processes: each scores every so many-th batch; all get the whole ranking.

    Raises:
        UserError: a score is not a number.
        ValueError: the scores have another shape than (B, N+1).
    """
    ranks = np.zeros(len(targets), dtype=np.int64)
    top_items = np.zeros((len(targets), min(top_k, data.num_items)), dtype=np.int32)
    candidate_ranks = None if candidates is None else np.zeros(len(targets), dtype=np.int64)
    repeats = 0
    batch_size = min(batch_size, rows_at_a_time(data.num_items, score_memory))
    order = np.argsort(targets.positions, kind="stable")
    with torch.no_grad(), progress_bar(description, len(targets), "histories") as progress:
        for start in processes.turns(range(0, len(order), batch_size)):
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
    # Each row is 0 but in the process that ranked it.
    ranks, top_items = processes.sum_array(ranks), processes.sum_array(top_items)
    candidate_ranks = None if candidate_ranks is None else processes.sum_array(candidate_ranks)
    return Ranking(ranks, top_items, int(processes.sums([repeats])[0]), candidate_ranks)


def _checked(scores: Tensor, shape: tuple[int, int], scorer: Scorer) -> Tensor:
    """Refuse scores that cannot be compared."""
    if tuple(scores.shape) != shape:
        raise ValueError(f"{type(scorer).__name__}: scores are {tuple(scores.shape)}, not {shape}")
    # A sum is not a number where one of its parts is not, and is read in a fifth of the time; infinite scores of both
    # signs have such a sum too.
    if bool(torch.isnan(scores[:, 1:].sum(dim=1)).any()) and bool(torch.isnan(scores[:, 1:]).any()):
        raise UserError("evaluate: a model's scores are not numbers (NaN): its training has diverged or overflowed")
    return scores


def _rank_batch(data: PreparedData, batch: Targets, scores: Tensor, filter_seen: bool, top_k: int) -> Ranking:
    """Rank one batch from its scores (B, N+1).

    Items that are left out are few beside the catalog: all are counted, and those are taken off.
    """
    target = torch.from_numpy(data.target_items(batch).astype(np.int64)).to(scores.device)
    rows, items = _left_out(data, batch, filter_seen, scores.device)
    own = scores.gather(1, target.unsqueeze(1))
    ranks = _at_least(scores, own)  # the target itself included: that is the 1 of its rank
    ranks.index_add_(0, rows, -(scores[rows, items] >= own[rows, 0]).long())
    repeated = torch.zeros(len(ranks), dtype=torch.bool, device=scores.device)
    repeated[rows[items == target[rows]]] = True
    top_items = _best(scores, rows, items, top_k)
    ranks = ranks.masked_fill(repeated, MISS)
    return Ranking(ranks.cpu().numpy(), top_items.int().cpu().numpy(), int(repeated.sum()))


def _left_out(data: PreparedData, batch: Targets, filter_seen: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and item of all that is not ranked, each pair once: the padding, and what was seen where that is filtered."""
    rows, items = np.arange(len(batch)), np.zeros(len(batch), dtype=np.int64)
    if filter_seen:
        seen = np.unique(np.stack(seen_items(data, batch)), axis=1)
        rows, items = np.concatenate([rows, seen[0]]), np.concatenate([items, seen[1]])
    return torch.from_numpy(rows).to(device), torch.from_numpy(items).to(device)


def _at_least(scores: Tensor, own: Tensor) -> Tensor:
    """How many of each row's scores (B, N+1) are at least its own (B, 1): int64 (B,).

    On a CPU, torch sums truth values several times more slowly than numbers, and a few rows at a time stay in the
    cache. Sums of at most 2**24 ones are exact in fp32.
    """
    rows, columns = scores.shape
    size = min(rows, max(1, AT_A_TIME // columns)) if scores.device.type == "cpu" else rows
    number = torch.float32 if columns < 1 << 24 else torch.float64
    held = torch.empty(size, columns, dtype=number, device=scores.device)
    pairs = zip(torch.split(scores, size), torch.split(own, size), strict=True)
    return torch.cat([torch.ge(part, least, out=held[: len(part)]).sum(dim=1) for part, least in pairs]).long()


def _best(scores: Tensor, rows: Tensor, items: Tensor, top_k: int) -> Tensor:
    """The items of the K best scores, without those left out: int64 (B, K), 0 where no more are left.

    On a CPU a few rows at a time are copied and listed, since they stay in the cache.
    """
    if not top_k:
        return torch.zeros(len(scores), 0, dtype=torch.int64)
    size = max(1, AT_A_TIME // scores.shape[1]) if scores.device.type == "cpu" else len(scores)
    parts = []
    for start in range(0, len(scores), size):
        here = (rows >= start) & (rows < start + size)
        parts.append(_best_of_few(scores[start : start + size], rows[here] - start, items[here], top_k))
    return torch.cat(parts) if parts else torch.zeros(0, top_k, dtype=torch.int64)


def _best_of_few(scores: Tensor, rows: Tensor, items: Tensor, top_k: int) -> Tensor:
    kept = scores.clone()
    kept[rows, items] = -torch.inf
    values, found = best_items(kept, top_k)
    if bool((values == -torch.inf).any()):  # An item may have that score of its own.
        left_out = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
        left_out[rows, items] = True
        found = found.masked_fill(left_out.gather(1, found), 0)
    return found


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
