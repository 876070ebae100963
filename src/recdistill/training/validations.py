"""The validations of a training, as they are kept in its checkpoint and in `training.csv`."""

from collections.abc import Mapping
from dataclasses import dataclass

WATCHED = "ndcg@10"
"""The metric that chooses the weights."""


@dataclass(frozen=True)
class Validation:
    """One validation.

    Attributes:
        epoch: when it was, in epochs.
        step: optimiser steps before it.
        targets: targets trained on before it, each as often as it was.
        loss: mean per target over the epoch so far; None before the first step.
        learning_rate: of the step before; None before the first.
        metrics: by name, such as `ndcg@10`.
        seconds: wall time so far, over all tries.
    """

    epoch: float
    step: int
    targets: int
    loss: float | None
    learning_rate: float | None
    metrics: dict[str, float]
    seconds: float

    @property
    def watched(self) -> float:
        """The metric that chooses the weights."""
        return self.metrics[WATCHED]

    def flat(self) -> dict[str, float | None]:
        """As one row, metrics between the learning rate and the seconds."""
        before = {
            "epoch": self.epoch,
            "step": self.step,
            "targets": self.targets,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
        }
        return {**before, **self.metrics, "seconds": self.seconds}

    @classmethod
    def of(cls, row: Mapping[str, float | None]) -> "Validation":
        """The reverse of :meth:`flat`."""
        numbers = {name: value for name, value in row.items() if value is not None}
        return cls(
            epoch=numbers["epoch"],
            step=int(numbers["step"]),
            targets=int(numbers["targets"]),
            loss=row["loss"],
            learning_rate=row["learning_rate"],
            metrics={name: value for name, value in numbers.items() if "@" in name},
            seconds=numbers["seconds"],
        )
