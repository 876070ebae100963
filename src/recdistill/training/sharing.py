"""How several processes deal a micro-batch among themselves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recdistill.errors import UserError
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
    """This process's share of each micro-batch, a stretch of its rows, which are of like lengths.

    Micro-batches are what they are with one process; `batch_size` is of all processes together. End to end, the shares
    are the micro-batch.
    """
    if processes.size == 1:
        return [Share(rows, True) for rows in plan]
    dealt = [(rows, np.array_split(rows, processes.size)[processes.rank]) for rows in plan]
    return [Share(own, True) if len(own) else Share(rows[:1], False) for rows, own in dealt]


def refuse_idle(plan: Sequence[Rows], processes: Processes, name: str) -> None:
    """Refuse processes that would be without a row in every micro-batch.

    Args:
        plan: the micro-batches of an epoch.
        processes: that share them.
        name: of what is trained.

    Raises:
        UserError: there are more processes than rows in the largest micro-batch.
    """
    largest = max((len(rows) for rows in plan), default=0)
    if processes.size > max(1, largest):
        raise UserError(
            f"devices: {processes.size} processes train the {name} together, and no micro-batch has more than {largest}"
            " rows; take at most as many, or larger micro-batches"
        )
