"""Scores of a few histories at a time, which stay in a CPU's cache while their items are counted and listed."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from recdistill.data.prepared import Targets
from recdistill.errors import UserError
from recdistill.evaluation.scorer import Scorer, StateScorer
from recdistill.evaluation.top_k import best_items, products

AT_A_TIME = 1 << 20
"""Scores of a tile on a CPU: 4 MiB. Half as many make the product slower, four times as many all that reads them."""
FEWEST_ROWS = 32
"""Rows of a tile, whatever the catalog: item vectors are read from memory once a tile."""


class Tile(NamedTuple):
    """Rows `start` to `start` + b of a batch, and their scores (b, N + 1), which may be changed."""

    start: int
    scores: Tensor


class GivenTiles:
    """Tiles of the scores that a scorer gives.

    Args:
        scorer: what scores.
        num_items: items N.
        changed: whether tiles are changed; they are copies then.
    """

    def __init__(self, scorer: Scorer, num_items: int, changed: bool) -> None:
        self.scorer, self.columns, self.changed = scorer, num_items + 1, changed

    def of(self, batch: Targets) -> Iterator[Tile]:
        """All tiles of a batch.

        Raises:
            UserError: a score is not a number.
            ValueError: the scores have another shape than (B, N+1).
        """
        scores, shape = self.scorer.score(batch.users, batch.positions), (len(batch), self.columns)
        if tuple(scores.shape) != shape:
            raise ValueError(f"{type(self.scorer).__name__}: scores are {tuple(scores.shape)}, not {shape}")
        size = rows_of_a_tile(len(batch), self.columns, scores.device)
        for start in range(0, len(batch), size):
            tile = check_numbers(scores[start : start + size])
            yield Tile(start, tile.clone(memory_format=torch.contiguous_format) if self.changed else tile)


class MadeTiles:
    """Tiles of the products of states and item vectors, one after the other in the same memory.

    Raises:
        ValueError: there are other item vectors than N + 1.
    """

    def __init__(self, scorer: StateScorer, num_items: int) -> None:
        self.scorer, self.vectors = scorer, scorer.item_vectors().detach()
        if len(self.vectors) != num_items + 1:
            raise ValueError(f"{type(scorer).__name__}: {len(self.vectors)} item vectors, not {num_items + 1}")
        self.columns = self.vectors.T.contiguous()
        self.largest = self.vectors.norm(dim=1).max()
        self.held = self.columns.new_empty(0)

    def of(self, batch: Targets) -> Iterator[Tile]:
        """All tiles of a batch; each is overwritten by the next.

        Raises:
            UserError: a score is not a number.
        """
        states = self.scorer.states(self.vectors, batch.users, batch.positions)
        # No part of a product is larger than both norms' product (Cauchy and Schwarz): a finite one leaves no NaN.
        certain = bool(torch.isfinite(states.norm(dim=1).max() * self.largest))
        size, width = rows_of_a_tile(len(batch), self.columns.shape[1], states.device), self.columns.shape[1]
        if len(self.held) < max(size, 2):
            self.held = self.columns.new_empty(max(size, 2), width)
        for start in range(0, len(batch), size):
            tile = products(states[start : start + size], self.columns, self.held)
            yield Tile(start, tile if certain else check_numbers(tile))


def tiles_of(scorer: Scorer, num_items: int, changed: bool) -> GivenTiles | MadeTiles:
    """What makes tiles of a scorer's scores, for one ranking, during which its model does not change."""
    return MadeTiles(scorer, num_items) if isinstance(scorer, StateScorer) else GivenTiles(scorer, num_items, changed)


def rows_of_a_tile(rows: int, columns: int, device: torch.device) -> int:
    """How many of a batch's rows are a tile, all tiles alike but the last; on a GPU all of them."""
    if device.type != "cpu":
        return max(1, rows)
    most = max(FEWEST_ROWS, AT_A_TIME // columns)
    tiles = -(-rows // most)
    return max(1, -(-rows // max(1, tiles)))


def check_numbers(scores: Tensor) -> Tensor:
    """Refuse scores (b, N + 1) that cannot be compared; column 0 is not read."""
    # A sum is not a number where one of its parts is not, and is read in a fifth of the time; infinite scores of both
    # signs have such a sum too.
    if bool(torch.isnan(scores[:, 1:].sum(dim=1)).any()) and bool(torch.isnan(scores[:, 1:]).any()):
        raise UserError("evaluate: a model's scores are not numbers (NaN): its training has diverged or overflowed")
    return scores


class Counter:
    """Counts scores; what it holds in between is kept from tile to tile."""

    def __init__(self) -> None:
        self._held = torch.empty(0, 0)

    def at_least(self, scores: Tensor, own: Tensor) -> Tensor:
        """How many of each row's scores (b, N+1) are at least its own (b, 1): int64 (b,).

        On a CPU, torch sums truth values several times more slowly than numbers. Sums of at most 2**24 ones are exact
        in fp32.
        """
        rows, columns = scores.shape
        size = min(rows, max(1, AT_A_TIME // columns)) if scores.device.type == "cpu" else rows
        if self._held.device != scores.device or self._held.shape[0] < size or self._held.shape[1] != columns:
            number = torch.float32 if columns < 1 << 24 else torch.float64
            self._held = torch.empty(size, columns, dtype=number, device=scores.device)
        pairs = zip(torch.split(scores, size), torch.split(own, size), strict=True)
        counts = [torch.ge(part, least, out=self._held[: len(part)]).sum(dim=1) for part, least in pairs]
        return torch.cat(counts).long()


def best_left(scores: Tensor, left_out: Tensor, top_k: int) -> Tensor:
    """The items of the K best scores, without those left out: int64 (b, K), 0 where no more are left.

    Args:
        scores: (b, N + 1), contiguous; those left out become -inf.
        left_out: int64, places in the flattened scores.
        top_k: K, at most N.
    """
    scores.view(-1).index_fill_(0, left_out, -torch.inf)
    values, found = best_items(scores, top_k)
    if bool((values == -torch.inf).any()):  # An item may have that score of its own.
        hidden = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
        hidden.view(-1)[left_out] = True
        found = found.masked_fill(hidden.gather(1, found), 0)
    return found
