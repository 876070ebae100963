"""What comes out of a training."""

from dataclasses import dataclass

from recdistill.training.checkpoint import Counts
from recdistill.training.validations import Validation


@dataclass(frozen=True)
class FitResult:
    """What came out of a run.

    Attributes:
        metrics: on validation, of the weights that were kept.
        best_epoch: when these were reached; 0: before the first step.
        epochs: how long training went on.
        steps: optimiser steps.
        targets: targets trained on, each as often as it was.
        seconds: wall time, validation and checkpoints included, over all tries.
        history: the validations.
        batches_by_worker: micro-batches by the process that made them, over all tries.
        micro_batches_per_step: most micro-batches of one optimiser step, over all tries.
    """

    metrics: dict[str, float]
    best_epoch: float
    epochs: float
    steps: int
    targets: int
    seconds: float
    history: list[Validation]
    batches_by_worker: dict[str, int]
    micro_batches_per_step: int

    @classmethod
    def of(cls, counts: Counts) -> "FitResult":
        """Read off the counts at a training's end."""
        best = counts.history[counts.best_row]
        return cls(
            best.metrics,
            best.epoch,
            counts.history[-1].epoch,
            counts.step,
            counts.targets,
            counts.seconds,
            counts.history,
            counts.batches_by_worker,
            counts.micro_batches_per_step,
        )
