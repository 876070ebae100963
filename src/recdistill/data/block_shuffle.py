"""Shuffling by blocks: what is read at a time lies in a few stretches of the files, and may be larger than memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

BLOCKS_AT_A_TIME = 8
"""Blocks whose rows are shuffled among one another: a batch has rows from that many places of the files."""


def by_blocks(
    lengths: NDArray[Any],
    block: int | None,
    generator: np.random.Generator,
    batches: Callable[[NDArray[Any]], list[Rows]],
) -> list[Rows]:
    """An epoch's batches, of a few blocks of rows after another.

    Rows that stand side by side make a block. Blocks are put into random order and taken :data:`BLOCKS_AT_A_TIME`
    together, and the rows of those are shuffled; then come the next ones. Rows that are read one soon after another so
    lie in few stretches of the files, whatever their size, and each stretch is read once an epoch.

    Args:
        lengths: of the rows, (rows,).
        block: rows of a block; None: all rows are shuffled together.
        generator: gives the order of the blocks.
        batches: puts rows of these lengths into batches in random order, by their place among them.
    """
    if block is None:
        return batches(lengths)
    starts = generator.permutation(np.arange(0, len(lengths), block))
    made: list[Rows] = []
    for first in range(0, len(starts), BLOCKS_AT_A_TIME):
        chosen = np.sort(starts[first : first + BLOCKS_AT_A_TIME])
        rows = np.concatenate([np.arange(start, min(start + block, len(lengths))) for start in chosen])
        made += [rows[batch] for batch in batches(lengths[rows])]
    return made
