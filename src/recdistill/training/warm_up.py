"""Before the clock starts: compile every shape that will come, and watch one step to see what really runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.data.batches import sorted_batches
from recdistill.profiling.evidence import KernelWatch
from recdistill.teacher.compiling import compile_limit
from recdistill.training.evidence import block_facts
from recdistill.training.fit import Trainable
from recdistill.training.reading import Teacher


class TeacherTrainable(Trainable, Protocol):
    """A teacher's training: what `fit` trains, with the length of each prompt."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each prompt, (prompts,)."""
        ...


def compile_shapes(training: TeacherTrainable, teacher: Teacher, epochs: int) -> None:
    """Run one micro-batch of each shape of the training forward and backward, and each shape of reading forward.

    Args:
        training: what will be trained; its gradients are cleared, nothing else of it changes.
        teacher: the teacher inside.
        epochs: whose plans are looked through for shapes.

    Raises:
        UserError: it took longer than `teacher.compile_seconds`.
    """
    with compile_limit(teacher.config.compile_seconds), torch.random.fork_rng(), _counting_kept(teacher):
        seen = set()
        for rows in (rows for epoch in range(epochs) for rows in training.plan(epoch)):
            shape = teacher.training_shape(training.lengths[rows])
            if shape not in seen:
                seen.add(shape)
                _step(training, training.collate(rows))
        _read_shapes(teacher, teacher.read_batch)


def compile_reading(teacher: Teacher, batch_size: int) -> None:
    """Read one batch of each shape that reading all targets by `batch_size` prompts has.

    Raises:
        UserError: it took longer than `teacher.compile_seconds`.
    """
    with compile_limit(teacher.config.compile_seconds):
        _read_shapes(teacher, batch_size)


def _read_shapes(teacher: Teacher, batch_size: int) -> None:
    windows = teacher.export_windows()
    lengths, seen = teacher.prompt_lengths(windows), set()
    for rows in sorted_batches(lengths, batch_size):
        shape = teacher.shapes.of(lengths[rows], batch_size)
        if shape not in seen:
            seen.add(shape)
            teacher.trial(windows, rows, batch_size)


def watch_step(training: TeacherTrainable, teacher: Teacher) -> dict[str, Any]:
    """Facts of one training step of the epoch's smallest micro-batch: kernels, types, runs of the blocks.

    Compiled blocks run uncompiled here, since what happens inside a compiled graph cannot be watched; that they are
    compiled otherwise is told by the number of graphs.
    """
    # The smallest that is no smaller than an adapter, whose products are told from the frozen layers' by their size.
    rank, plan = teacher.config.adapter.rank, training.plan(0)
    sizes = [int(training.lengths[rows].sum()) for rows in plan]
    smallest = plan[min(range(len(plan)), key=lambda place: (sizes[place] <= 2 * rank, sizes[place]))]
    before = block_facts(teacher)
    watch = KernelWatch(narrow=rank)
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"), _counting_kept(teacher), watch:
        _step(training, training.collate(smallest))
    after = block_facts(teacher)
    return watch.seen() | {name: after[name] - before[name] for name in after}


@contextmanager
def _counting_kept(teacher: Teacher) -> Iterator[None]:
    """What is watched is not counted among the tokens that were trained on."""
    kept = teacher.trained
    teacher.trained = type(kept)()
    try:
        yield
    finally:
        teacher.trained = kept


def _step(training: Trainable, batch: Any) -> None:
    """Forward and backward, without a trace in the weights."""
    training.module.train()
    torch.autograd.backward(training.loss(batch))
    training.module.zero_grad(set_to_none=True)
