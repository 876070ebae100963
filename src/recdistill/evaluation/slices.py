"""Subsets of the rows in which models may differ: rare and popular targets, short and long histories."""

from dataclasses import dataclass

import numpy as np

from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.evaluation.metrics import FloatArray

COLD_BELOW = 5
"""Train interactions under which an item is cold."""


@dataclass(frozen=True)
class Slice:
    """Rows whose value lies between `first` and `last`, both included.

    Attributes:
        name: `cold`, or `1`, `2`, … from small values to large ones.
        first: smallest value that occurs in it.
        last: largest value that occurs in it.
        rows: int64, their indices.
    """

    name: str
    first: int
    last: int
    rows: LongArray


def slices_of(data: PreparedData, targets: Targets) -> dict[str, list[Slice]]:
    """Every kind of slices of some targets: by `popularity` and by `history_length`."""
    return {
        "popularity": by_popularity(data.train_item_counts()[data.target_items(targets)]),
        "history_length": by_history_length(targets.positions),
    }


def by_popularity(train_events: LongArray) -> list[Slice]:
    """Cold targets (fewer than 5 train interactions), and thirds of the other rows by their target's train
    interactions.

    Args:
        train_events: (rows,) of each row's target.
    """
    cold = train_events < COLD_BELOW
    slices = [_slice("cold", train_events, np.flatnonzero(cold))] if cold.any() else []
    return slices + _equal_parts(train_events, np.flatnonzero(~cold), 3)


def by_history_length(positions: IntArray) -> list[Slice]:
    """Quarters of the rows by the number of interactions before the target.

    Args:
        positions: (rows,) of the targets.
    """
    return _equal_parts(positions.astype(np.int64), np.arange(len(positions)), 4)


def _equal_parts(values: LongArray, rows: LongArray, parts: int) -> list[Slice]:
    """Cut `rows` at quantiles of their values; equal values stay together, so parts may differ in size or be fewer."""
    if not len(rows):
        return []
    cuts: FloatArray = np.unique(np.quantile(values[rows], np.arange(1, parts) / parts))
    part = np.searchsorted(cuts, values[rows], side="left")
    return [_slice(str(number), values, rows[part == which]) for number, which in enumerate(np.unique(part), 1)]


def _slice(name: str, values: LongArray, rows: LongArray) -> Slice:
    return Slice(name, int(values[rows].min()), int(values[rows].max()), rows)
