"""Before the clock starts: compile every shape that will come, and watch one step to see what really runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.data.windows import Windows
from recdistill.language_models.weights import layer_shapes
from recdistill.measure.evidence import KernelWatch
from recdistill.measure.facts import Watched
from recdistill.teacher.compiling import CompileLimit, compile_limit
from recdistill.teacher.teacher import Teacher
from recdistill.training.evidence import block_facts
from recdistill.training.trainable import Rows, Trainable


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
    limited = compile_limit(teacher.config.compile_seconds)
    with limited as limit, torch.random.fork_rng(), _counting_kept(teacher):
        seen = set()
        for rows in (rows for epoch in range(epochs) for rows in training.plan(epoch)):
            shape = teacher.training_shape(training.lengths[rows])
            if shape not in seen:
                seen.add(shape)
                _step(training, training.collate(rows), limit.check)
        _read_shapes(teacher, teacher.export_windows(), teacher.read_batch, limit)


def compile_reading(teacher: Teacher, windows: Windows, batch_size: int) -> None:
    """Read one batch of each shape that reading `windows` by up to `batch_size` prompts can have, in any order.

    Raises:
        UserError: it took longer than `teacher.compile_seconds`.
    """
    with compile_limit(teacher.config.compile_seconds) as limit:
        _read_shapes(teacher, windows, batch_size, limit)


def _read_shapes(teacher: Teacher, windows: Windows, batch_size: int, limit: CompileLimit) -> None:
    lengths, seen = teacher.prompt_lengths(windows), set()
    for rows in _kinds_of_batches(teacher, lengths, batch_size):
        shape = teacher.shapes.of(lengths[rows], batch_size)
        if shape not in seen:
            seen.add(shape)
            teacher.trial(windows, rows, batch_size)
            limit.check()


def _kinds_of_batches(teacher: Teacher, lengths: NDArray[np.int64], batch_size: int) -> list[Rows]:
    """Batches among which each shape stands that batches of up to `batch_size` prompts of these lengths can have.

    A batch is as wide as its widest prompt alone would be. Packed it is as wide as all its prompts together: the
    longest ones, taken in one by one, pass through every width there is.
    """
    if teacher.config.padding == "packed":
        longest = np.argsort(-lengths, kind="stable")[:batch_size]
        return [longest[:count] for count in range(1, len(longest) + 1)]
    _, first = np.unique(teacher.shapes.rounded(lengths), return_index=True)
    return list(first[:, None])


def watch_step(training: TeacherTrainable, teacher: Teacher) -> Watched:
    """Facts of one training step of the epoch's smallest micro-batch: kernels, types, runs of the blocks.

    Compiled blocks run uncompiled here, since what happens inside a compiled graph cannot be watched; that they are
    compiled otherwise is told by the number of graphs.
    """
    # The smallest that is no smaller than an adapter, whose products are told from the frozen layers' by their size.
    rank, plan = teacher.config.adapter.rank, training.plan(0)
    sizes = [int(training.lengths[rows].sum()) for rows in plan]
    smallest = plan[min(range(len(plan)), key=lambda place: (sizes[place] <= 2 * rank, sizes[place]))]
    before = block_facts(teacher)
    watch = KernelWatch(narrow=rank, weights=layer_shapes(teacher.ranker.llm))
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"), _counting_kept(teacher), watch:
        _step(training, training.collate(smallest))
    after = block_facts(teacher)
    return {
        **watch.seen(),
        "block_calls": after["block_calls"] - before["block_calls"],
        "block_executions": after["block_executions"] - before["block_executions"],
    }


@contextmanager
def _counting_kept(teacher: Teacher) -> Iterator[None]:
    """What is watched is not counted among the tokens that were trained on."""
    kept = teacher.trained
    teacher.trained = type(kept)()
    try:
        yield
    finally:
        teacher.trained = kept


def _step(training: Trainable, batch: Any, between: Callable[[], None] = lambda: None) -> None:
    """Forward, `between` and backward, without a trace in the weights."""
    training.module.train()
    loss = training.loss(batch)
    between()
    torch.autograd.backward(loss)
    training.module.zero_grad(set_to_none=True)
    between()
