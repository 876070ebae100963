"""One training loop for student, teacher and distilled student.

The loop is ours, so that its phases are timed apart, a large batch and the same batch in pieces give one gradient, and
a run that was cut off anywhere resumes bit by bit as if it had not been. What it is measured and watched by are
callbacks (:mod:`recdistill.training.callbacks`).
"""

from collections.abc import Sequence

import torch

from recdistill.config import Precision, TrainConfig
from recdistill.interruption import deferred
from recdistill.measure.context import RunContext
from recdistill.training.callbacks import Callback, Callbacks, PhaseTimes
from recdistill.training.log import TrainingLog
from recdistill.training.loop import Loop
from recdistill.training.result import FitResult
from recdistill.training.trainable import Trainable


def fit(
    trainable: Trainable,
    config: TrainConfig,
    context: RunContext,
    seed: int,
    fingerprint: str,
    name: str,
    precision: Precision = "fp32",
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train until the epochs are over or validation has stopped getting better; then put the best weights back.

    Validation comes before the first step too: where training makes nothing better, the untrained weights are kept.

    Args:
        trainable: model, batches, loss, validation.
        config: the run's settings.
        context: its folder gets checkpoints and logs, and training resumes from a checkpoint found there; its profiler
            gets the phases set-up, data wait, train step, validation, checkpoint. Where several processes train, each
            reads its rows of each micro-batch, and every step is the one that one process would take.
        seed: of dropout and whatever else the loss draws from torch's own generator, which is as before afterwards.
        fingerprint: names model, data and settings; a checkpoint of another one is refused.
        name: shown in the progress bar.
        precision: only fp16 and fp16-mixed matter here: their gradients are scaled, so that small ones do not vanish.
        callbacks: beside the profiler's and the logs'.

    Raises:
        DivergedError: the loss or the weights are no longer numbers.
        UserError: the checkpoint does not fit.
        Interrupted: a signal came; a checkpoint of the step that ran then is written, and training resumes from it.
    """
    every = Callbacks([PhaseTimes(context.profiler), TrainingLog(context.folder), *callbacks])
    on_gpu = context.device == "cuda"
    with torch.random.fork_rng([torch.cuda.current_device()] if on_gpu else []):
        torch.manual_seed(seed)
        try:
            with every.phase("set-up"):
                run = Loop(trainable, config, context, seed, fingerprint, name, precision, every)
            with deferred():
                return run.go()
        finally:
            every.ended()
