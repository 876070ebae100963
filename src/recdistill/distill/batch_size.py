"""`export.batch_size: auto`: the number of prompts that fits and pays."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from recdistill.measure.facts import TrialFacts

logger = logging.getLogger("recdistill")

FIRST, LARGEST = 8, 1024
PAYS = 1.05
"""A batch of twice the size must bring this factor of rows a second, or the smaller one is kept."""
MEMORY_SHARE = 0.8
"""Share of the machine's free memory that a batch may be expected to take."""


@dataclass(frozen=True)
class Trial:
    """One size that was tried.

    Attributes:
        batch_size: prompts.
        rows_per_second: prompts read a second; None where it did not fit.
        why: what was decided.
    """

    batch_size: int
    rows_per_second: float | None
    why: str

    def kept(self) -> TrialFacts:
        """As JSON holds it."""
        return {"batch_size": self.batch_size, "rows_per_second": self.rows_per_second, "why": self.why}


def find_batch_size(read: Callable[[int], object], rows: int, device: str) -> tuple[int, list[Trial]]:
    """Double the batch as long as it fits and pays.

    Args:
        read: reads a batch of that many prompts, the longest there are, and throws the result away.
        rows: prompts there are; no batch is larger.
        device: `cpu` or `cuda`.

    Returns:
        The size, and what was tried.
    """
    trials: list[Trial] = []
    best, speed, size = 0, 0.0, min(FIRST, rows)
    while size <= min(rows, LARGEST):
        before = _free(device)
        try:
            seconds = _seconds(read, size, device)
        except torch.OutOfMemoryError:
            trials.append(Trial(size, None, "out of memory"))
            if best or size == 1:
                break
            size //= 2
            continue
        found = size / seconds
        if best and found < PAYS * speed:
            trials.append(Trial(size, round(found, 2), "does not pay"))
            break
        best, speed = size, found
        if trials and trials[-1].rows_per_second is None:
            trials.append(Trial(size, round(found, 2), "taken; twice as many did not fit"))
            break
        taken = max(0, before - _free(device))
        if 2 * taken > MEMORY_SHARE * before:
            trials.append(Trial(size, round(found, 2), "taken; twice as many would not fit"))
            break
        trials.append(Trial(size, round(found, 2), "taken"))
        size *= 2
    chosen = best or 1
    logger.info("export: %d prompts a batch, of %s", chosen, {one.batch_size: one.rows_per_second for one in trials})
    return chosen, trials


def _seconds(read: Callable[[int], object], size: int, device: str) -> float:
    """The faster of two readings: the first one also pays for memory that is taken for the first time."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        read(size)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)


def _free(device: str) -> int:
    """Bytes of memory that can still be taken."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)
