"""Micro-batches in the order of the plan, made by this process or by worker processes."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

Rows = TypeVar("Rows")
Batch = TypeVar("Batch")


class _Collated(Dataset[tuple[str, Batch]], Generic[Rows, Batch]):
    """Micro-batches by their place in the plan, each with the name of the process that made it."""

    def __init__(self, collate: Callable[[Rows], Batch], plan: Sequence[Rows]) -> None:
        self.collate, self.plan = collate, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[str, Batch]:
        worker = get_worker_info()
        return ("main" if worker is None else f"worker {worker.id}"), self.collate(self.plan[index])


def load_batches(
    collate: Callable[[Rows], Batch], plan: Sequence[Rows], num_workers: int
) -> Iterator[tuple[str, Batch]]:
    """Yield `collate(rows)` for each `rows` of the plan, in its order, with the name of who made it.

    Args:
        collate: must give the same batch for the same rows in any process.
        plan: row numbers of each micro-batch.
        num_workers: worker processes; 0: this one does it when asked for the next batch.
    """
    if num_workers == 0:
        return (("main", collate(rows)) for rows in plan)
    # A loader draws a number to seed its workers with; from torch's own generator that would shift the dropout of a
    # run that was interrupted, since resuming takes one loader more.
    seeds = torch.Generator().manual_seed(0)
    loader = DataLoader(
        _Collated(collate, plan),
        batch_size=None,
        shuffle=False,
        num_workers=num_workers,
        generator=seeds,
        worker_init_fn=_leave_signals_to_the_parent if CAN_TELL_SENDERS else None,
    )
    # A new process blocks what the thread that makes it blocks, in all its threads from the first moment.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM} if CAN_TELL_SENDERS else set())
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


CAN_TELL_SENDERS = hasattr(signal, "sigwaitinfo")
"""Not on macOS."""


def _leave_signals_to_the_parent(worker: int) -> None:
    """Let a worker process go on making batches where a signal is meant for the whole group: Ctrl-C on a terminal, the
    SIGTERM of a job's end. Its parent saves then, and ends it in its own time, by a SIGTERM at the latest.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_when_the_parent_says_so, name="signals", daemon=True).start()


def _end_when_the_parent_says_so() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
