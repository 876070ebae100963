"""How several processes deal a micro-batch among themselves."""

from collections.abc import Sequence
from typing import NamedTuple

from recdistill.parallel.processes import Processes
from recdistill.training.trainable import Rows


class Share(NamedTuple):
    """What a process reads of a micro-batch.

    Attributes:
        rows: row numbers, (B,), one at least.
        counts: False where the micro-batch has fewer rows than there are processes and none is left for this one: it
            reads one of the others' rows then, and its loss counts for nothing.
    """

    rows: Rows
    counts: bool


def shares(plan: Sequence[Rows], processes: Processes) -> list[Share]:
    """This process's share of each micro-batch: every `size`-th row, so that long and short ones are dealt evenly.

    Micro-batches are what they are with one process; `batch_size` is of all processes together.
    """
    dealt = [(rows, rows[processes.rank :: processes.size]) for rows in plan]
    return [Share(own, True) if len(own) else Share(rows[:1], False) for rows, own in dealt]
