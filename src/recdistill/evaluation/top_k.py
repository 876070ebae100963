"""The best items of all by one rule for equal scores: the lower item number comes first, as in serving and bundles."""

import torch
from torch import Tensor

from recdistill.config.evaluate import SCORE_MEMORY

CHUNK = 1 << 16
"""Items that are scored at a time where all would need more memory than is allowed."""

GROUP = 16
"""Columns of which the highest score is found first."""


def most_scores(score_memory: int) -> int:
    """How many fp32 scores fit into so many MiB."""
    return score_memory * 2**20 // 4


def rows_at_a_time(num_items: int, score_memory: int) -> int:
    """How many rows of N + 1 scores fit into so many MiB; one at least."""
    return max(1, most_scores(score_memory) // (num_items + 1))


def products(states: Tensor, columns: Tensor, out: Tensor | None = None) -> Tensor:
    """Scores (B, N) of states (B, D) and item vectors that are columns (D, N): equal vectors get equal scores.

    One state is multiplied as two: MKL 2024.2 with AVX-512 rounds the product of a single row differently at different
    columns, and that of two rows takes hardly longer where there are many items.

    Args:
        states: (B, D).
        columns: (D, N).
        out: at least (max(B, 2), N), which is overwritten; None: new memory.
    """
    rows = states if len(states) != 1 else states.expand(2, -1)
    return torch.mm(rows, columns, out=None if out is None else out[: len(rows)])[: len(states)]


def best_items(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The K highest scores of each row, highest first, of equal scores the lower column.

    :func:`torch.topk` takes whichever of equal scores it finds. So what it lists is put in order, and a row whose last
    score is also that of a column left out is done again.

    Args:
        scores: (B, N), none of them NaN.
        top_k: K, at most N.

    Returns:
        Scores (B, K), and int64 columns (B, K); equal scores of -inf are in no fixed order.
    """
    highest, found = _highest(scores, min(top_k + 1, scores.shape[1]))
    columns = found[:, :top_k].sort(dim=1).values
    values, order = torch.sort(scores.gather(1, columns), dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    if highest.shape[1] > top_k > 0:
        last = highest[:, top_k - 1]
        for row in torch.nonzero((last == highest[:, top_k]) & (last > -torch.inf)).flatten().tolist():
            enough = torch.nonzero(scores[row] >= last[row]).flatten()
            columns[row] = enough[torch.sort(scores[row, enough], descending=True, stable=True).indices[:top_k]]
    return values, columns


def _highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As :func:`torch.topk`, the highest scores (B, count), of equal ones whichever columns; faster where N is large.

    Columns c, c + G, c + 2 G and so on are a group; each of G groups' highest score is found in one pass. All scores
    above the lowest of the `count` highest groups stand in these, and no fewer than `count` that reach it.
    """
    groups = scores.shape[1] // GROUP
    if groups < GROUP * count:
        return torch.topk(scores, count, dim=1)
    whole = groups * GROUP
    best = torch.topk(scores[:, :whole].unflatten(1, (GROUP, groups)).amax(dim=1), count, dim=1, sorted=False).indices
    columns = (torch.arange(0, whole, groups, device=scores.device)[:, None] + best[:, None]).flatten(1)
    rest = torch.arange(whole, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    found = torch.topk(scores.gather(1, columns), count, dim=1)
    return found.values, columns.gather(1, found.indices)


def best_by_states(
    states: Tensor, item_vectors: Tensor, top_k: int, hidden: tuple[Tensor, Tensor], score_memory: int = SCORE_MEMORY
) -> tuple[Tensor, Tensor]:
    """The K best items of each state, by the same rule, with no more scores in memory than is allowed.

    Scores that fit are made at once. Else they are made for a chunk of states and of items at a time, and the lists of
    the chunks are merged: those of earlier chunks hold the lower items, so that a stable sort keeps the rule.

    Args:
        states: (B, D).
        item_vectors: (N + 1, D), row 0 the padding's.
        top_k: K, at most N.
        hidden: int64 rows and items of what is left out, the padding aside.
        score_memory: MiB of scores held at a time.

    Returns:
        Scores (B, K), -inf where fewer items are left, and int64 items (B, K), which mean nothing there.
    """
    most, count = most_scores(score_memory), len(item_vectors)
    width = count if len(states) * count <= most else min(count, CHUNK, most)
    parts = []
    for start in range(0, len(states), max(1, most // width)):
        part = states[start : start + max(1, most // width)]
        here = (hidden[0] >= start) & (hidden[0] < start + len(part))
        parts.append(_merged(part, item_vectors, top_k, (hidden[0][here] - start, hidden[1][here]), width))
    values, items = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(items)


def _merged(
    states: Tensor, item_vectors: Tensor, top_k: int, hidden: tuple[Tensor, Tensor], width: int
) -> tuple[Tensor, Tensor]:
    """As :func:`best_by_states`, `width` items at a time."""
    values = states.new_empty(len(states), 0)
    items = torch.empty(len(states), 0, dtype=torch.int64, device=states.device)
    for start in range(0, len(item_vectors), width):
        scores = products(states, item_vectors[start : start + width].T)
        if start == 0:
            scores[:, 0] = -torch.inf
        here = (hidden[1] >= start) & (hidden[1] < start + width)
        scores[hidden[0][here], hidden[1][here] - start] = -torch.inf
        best, columns = best_items(scores, min(top_k, scores.shape[1]))
        values, items = torch.cat([values, best], dim=1), torch.cat([items, columns + start], dim=1)
        values, order = torch.sort(values, dim=1, descending=True, stable=True)
        values, items = values[:, :top_k], items.gather(1, order[:, :top_k])
    return values, items
