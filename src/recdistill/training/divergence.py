"""A training whose loss or weights are no longer numbers is stopped, with advice in the settings' own names."""

import math

import torch
from torch import nn

from recdistill.config import Precision, TrainConfig
from recdistill.errors import UserError
from recdistill.steps import STEPS
from recdistill.training.checkpoint import trained_parameters

SECTIONS = {spec.trains: f"{spec.section}.train" for spec in STEPS if spec.trains}
"""Where the settings of a training stand, by what is trained."""


class DivergedError(UserError):
    """The loss or the weights are no longer numbers."""


class DivergenceCheck:
    """Looks at the loss of each step, and at the weights before each validation.

    Args:
        name: what is trained.
        config: its settings.
        precision: of the language model's products; what is not fp32 may be the reason.
    """

    def __init__(self, name: str, config: TrainConfig, precision: Precision) -> None:
        self.name, self.config, self.precision = name, config, precision

    def loss(self, loss: float, step: int) -> None:
        """Stop a run whose loss is no longer a number, before it reaches the weights.

        Raises:
            DivergedError: it is not.
        """
        if not math.isfinite(loss):
            raise DivergedError(f"{self.name}: the loss is not a number any more at step {step}; {self._advice()}")

    def weights(self, module: nn.Module, step: int) -> None:
        """Stop a run whose weights are no longer numbers: a loss that is one can have a gradient that is not.

        Raises:
            DivergedError: one is not.
        """
        finite = [parameter.isfinite().all() for parameter in trained_parameters(module).values()]
        if not bool(torch.stack(finite).all()):
            raise DivergedError(
                f"{self.name}: the weights are not numbers any more after step {step}; {self._advice()}"
            )

    def _advice(self) -> str:
        """What may help, by the settings' whole names."""
        section = SECTIONS.get(self.name, "train")
        clip, key = self.config.max_grad_norm, f"{section}.max_grad_norm"
        ways = [f"a lower {section}.learning_rate", f"a lower {key}" if clip else f"{key}: 1, which is 0 (not clipped)"]
        if self.precision != "fp32":
            ways.append("teacher.precision: fp32")
        return f"try {' or '.join(ways)}"
