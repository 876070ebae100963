"""The rank of each target among all items of the catalog, a batch of histories at a time."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from recdistill.config.evaluate import SCORE_MEMORY
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.evaluation.scorer import Scorer
from recdistill.evaluation.tiles import Counter, Tile, best_left, tiles_of
from recdistill.evaluation.top_k import rows_at_a_time
from recdistill.parallel.processes import ALONE, Processes
from recdistill.progress import progress_bar

MISS = 2**31 - 1
"""The rank of a target that could not be ranked. N + 1 would be a hit wherever the catalog is shorter than the list."""


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
        batch_size: B, histories scored at a time; their scores take 4·B·(N+1) bytes, or less where the scorer gives
            states. Fewer are where these would be more than `score_memory`.
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
    repeats, counter = 0, Counter()
    batch_size = min(batch_size, rows_at_a_time(data.num_items, score_memory))
    order = np.argsort(targets.positions, kind="stable")
    with torch.no_grad(), progress_bar(description, len(targets), "histories") as progress:
        tiles = tiles_of(scorer, data.num_items, changed=top_items.shape[1] > 0)
        for start in processes.turns(range(0, len(order), batch_size)):
            rows = order[start : start + batch_size]
            batch = Targets(targets.users[rows], targets.positions[rows])
            asked = _asked(data, batch, filter_seen, None if candidates is None else candidates[rows])
            for tile in tiles.of(batch):
                here = rows[tile.start : tile.start + len(tile.scores)]
                found = _rank_tile(tile, asked, top_items.shape[1], counter)
                ranks[here], top_items[here] = found.ranks, found.top_items
                if candidate_ranks is not None and found.among is not None:
                    candidate_ranks[here] = found.among
            repeated = rows[asked.repeated]
            repeats += len(repeated)
            ranks[repeated] = MISS
            if candidates is not None and candidate_ranks is not None:
                candidate_ranks[repeated] = MISS
                candidate_ranks[rows[candidates[rows, 0] == 0]] = 0
            progress.advance(len(rows))
    # Each row is 0 but in the process that ranked it.
    ranks, top_items = processes.sum_array(ranks), processes.sum_array(top_items)
    candidate_ranks = None if candidate_ranks is None else processes.sum_array(candidate_ranks)
    return Ranking(ranks, top_items, int(processes.sums([repeats])[0]), candidate_ranks)


class _Asked(NamedTuple):
    """What a batch of B rows is asked.

    Attributes:
        targets: int64 (B, 1).
        left_out: int64, ascending, row · (N + 1) + item of each pair that is not ranked, once: the padding, and
            what was seen where that is filtered.
        repeated: rows whose target is among them.
        candidates: int64 (B, C); None without any.
    """

    targets: LongArray
    left_out: LongArray
    repeated: LongArray
    candidates: LongArray | None


class _Found(NamedTuple):
    """What :class:`Ranking` holds, of some rows, misses still with the ranks that their scores give."""

    ranks: LongArray
    top_items: IntArray
    among: LongArray | None


def _asked(data: PreparedData, batch: Targets, filter_seen: bool, candidates: IntArray | None) -> _Asked:
    columns, target = data.num_items + 1, data.target_items(batch).astype(np.int64)
    left_out, repeated = np.arange(len(batch)) * columns, np.zeros(0, dtype=np.int64)
    if filter_seen:
        rows, items = seen_items(data, batch)
        left_out = np.unique(np.concatenate([left_out, rows * columns + items]))
        repeated = np.unique(rows[items == target[rows]])
    others = None if candidates is None else candidates.astype(np.int64)
    return _Asked(target[:, None], left_out, repeated, others)


def _rank_tile(tile: Tile, asked: _Asked, top_k: int, counter: Counter) -> _Found:
    """Rank a tile's rows; where lists are made, its scores are changed.

    Items that are left out are few beside the catalog: all are counted, and those are taken off.
    """
    start, scores = tile
    (size, columns), device = scores.shape, scores.device
    first, end = np.searchsorted(asked.left_out, (start * columns, (start + size) * columns))
    left_out = torch.from_numpy(asked.left_out[first:end] - start * columns).to(device)
    rows = left_out // columns
    own = scores.gather(1, torch.from_numpy(asked.targets[start : start + size]).to(device))
    ranks = counter.at_least(scores, own)  # the target itself included: that is the 1 of its rank
    ranks.index_add_(0, rows, -(scores.take(left_out) >= own[rows, 0]).long())
    among = None
    if asked.candidates is not None:
        others = scores.gather(1, torch.from_numpy(asked.candidates[start : start + size]).to(device))
        among = (1 + (others >= own).sum(dim=1)).cpu().numpy()
    if not top_k:
        return _Found(ranks.cpu().numpy(), np.zeros((size, 0), dtype=np.int32), among)
    return _Found(ranks.cpu().numpy(), best_left(scores, left_out, top_k).int().cpu().numpy(), among)


def seen_items(data: PreparedData, batch: Targets) -> tuple[LongArray, LongArray]:
    """Row and item of every interaction of the batch's histories."""
    lengths = batch.positions.astype(np.int64)
    rows, within = unrolled(lengths)
    return rows, data.items[data.offsets[batch.users][rows] + within].astype(np.int64)


def unrolled(lengths: LongArray) -> tuple[LongArray, LongArray]:
    """Rows of these lengths, end to end: for each place its row, and its number within the row from 0."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
