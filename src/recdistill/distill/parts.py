"""Read the batches that hold rows of some shards of a store, and write these rows."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray
from recdistill.distill.evidence import Part, ReadCounts
from recdistill.distill.writer import OutputsWriter
from recdistill.interruption import requested, stop_point
from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler
from recdistill.progress import progress_bar

logger = logging.getLogger("recdistill")


class StoreRows(NamedTuple):
    """M rows of a store: keys int32 (M,), the K best items int32 (M, K) with scores fp32, states fp16 (M, S)."""

    users: IntArray
    positions: IntArray
    top_items: IntArray
    top_scores: NDArray[np.float32]
    states: NDArray[np.float16]

    def part(self, start: int, end: int) -> "StoreRows":
        """Rows `start` to `end`."""
        here = slice(start, end)
        return StoreRows(
            self.users[here], self.positions[here], self.top_items[here], self.top_scores[here], self.states[here]
        )


def write_parts(
    parts: Sequence[Part],
    there: int,
    ends: NDArray[np.int64],
    predict: Callable[[int], StoreRows],
    read: TokenCount,
    kept: ReadCounts,
    writer: OutputsWriter,
    profiler: Profiler,
) -> None:
    """Read each batch that holds rows of these parts once for all parts that stand side by side.

    Args:
        parts: what to write, in the order of the rows.
        there: rows that the store had before.
        ends: int64 (batches + 1,), rows before each batch, and all rows.
        predict: reads a batch.
        read: what `predict` counts into.
        kept: takes the counts of each shard.
        writer: takes the rows.
        profiler: gets the phase `write`.

    Raises:
        Interrupted: a signal came; what had been read then is written.
    """
    for part in parts:
        kept.begin(part)
    if there and parts:
        logger.info("export: resumed after %s targets", f"{there:,}")
    done, at, rows = there, -1, None
    with progress_bar("export", there + sum(part.end - part.start for part in parts), "targets") as progress:
        progress.advance(there)
        for place, part in enumerate(parts):
            follows = parts[place + 1].start if place + 1 < len(parts) else -1
            writer.go_to(part)
            row = part.start
            while row < part.end:
                number = int(np.searchsorted(ends, row, side="right")) - 1
                first, last = int(ends[number]), int(ends[number + 1])
                if rows is None or number != at:
                    read.clear()
                    at, rows = number, predict(number)
                    kept.add(first, read)
                end = min(part.end, last)
                with profiler.phase("write"):
                    kept.keep(part, end)
                    writer.append(*rows.part(row - first, end - first))
                progress.advance(end - row)
                done, row = done + end - row, end
                if requested() and not row == follows < last:
                    kept.keep_open(part, row)
                    writer.set_aside()
                    stop_point(f"the teacher's outputs for {done:,} targets")
