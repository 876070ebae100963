"""Before the clock starts: compile every shape that will come, and watch one step to see what really runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from recdistill.profiling.evidence import KernelWatch
from recdistill.teacher.compiling import compile_limit
from recdistill.training.evidence import block_facts
from recdistill.training.fit import Rows, Trainable
from recdistill.training.reading import Teacher


def compile_shapes(training: Trainable, teacher: Teacher, epochs: int = 1) -> int:
    """Run one micro-batch of each shape forward and backward, and each shape of reading forward.

    Args:
        training: what will be trained; its gradients are cleared, nothing else of it changes.
        teacher: the teacher inside.
        epochs: how many epochs' plans to look through for shapes.

    Returns:
        The number of shapes.

    Raises:
        UserError: it took longer than `teacher.compile_seconds`.
    """
    with compile_limit(teacher.config.compile_seconds), torch.random.fork_rng():
        shapes = _distinct(training, (rows for epoch in range(epochs) for rows in training.plan(epoch)))
        for batch in shapes:
            _step(training, batch)
        windows = teacher.export_windows()
        lengths, seen = teacher.prompt_lengths(windows), set()
        for row in range(len(windows)):
            width = int(teacher.shapes.rounded(lengths[row : row + 1])[0])
            if width not in seen:
                seen.add(width)
                teacher.predict(windows, torch.tensor([row]).numpy(), teacher.read_batch)
    return len(shapes)


def _distinct(training: Trainable, plan: Iterator[Rows]) -> list[Any]:
    """One micro-batch of each shape in the plan."""
    found: dict[tuple[int, ...], Any] = {}
    for rows in plan:
        batch = training.collate(rows)
        found.setdefault(tuple(batch.token_ids.shape), batch)
    return list(found.values())


def watch_step(training: Trainable, teacher: Teacher) -> dict[str, Any]:
    """Facts of one training step of the epoch's smallest micro-batch: kernels, types, runs of the blocks.

    Compiled blocks run uncompiled here, since what happens inside a compiled graph cannot be watched; that they are
    compiled otherwise is told by the number of graphs.
    """
    smallest = min(training.plan(0), key=len)
    before = block_facts(teacher)
    watch = KernelWatch(narrow=teacher.config.adapter.rank)
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
