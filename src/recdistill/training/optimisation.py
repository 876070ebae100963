"""One optimiser step: AdamW over groups of parameters, the schedule, clipping, and the scaling of half precision."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from recdistill.config import Precision, TrainConfig
from recdistill.parallel.processes import ALONE, Processes
from recdistill.training.checkpoint import trained_parameters
from recdistill.training.lazy_adam import LazyAdamW
from recdistill.training.schedule import learning_rate_factor
from recdistill.training.trainable import Trainable

BETA1 = 0.9


class Optimisation:
    """The optimiser of one training.

    Args:
        trainable: model and loss.
        config: learning rate, schedule, decay, clipping.
        device: `cpu` or `cuda`.
        precision: gradients of fp16 and fp16-mixed are scaled, so that small ones do not vanish.
        processes: that train together; each has the same weights, and takes the same steps.
    """

    def __init__(
        self,
        trainable: Trainable,
        config: TrainConfig,
        device: str,
        precision: Precision,
        processes: Processes = ALONE,
    ) -> None:
        self.trainable, self.config, self.processes = trainable, config, processes
        scaled = precision.startswith("fp16")
        self.scaler = GradScaler(device, enabled=scaled)
        given = trainable.parameter_groups()
        self.peaks = [config.learning_rate * group.get("lr", 1.0) for group in given]
        groups = [{**group, "lr": peak} for group, peak in zip(given, self.peaks, strict=True)]
        self.optimizer = LazyAdamW(
            groups, betas=(BETA1, config.beta2), weight_decay=config.weight_decay, fused=not scaled
        )

    @property
    def learning_rate(self) -> float:
        """Of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_learning_rate(self, progress: float) -> None:
        """The schedule's, at this share of the training."""
        factor = learning_rate_factor(self.config, progress)
        for options, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            options["lr"] = peak * factor

    def backward(self, group: Sequence[tuple[Any, bool]], targets: int) -> float:
        """Gradients of the mean loss over all targets of some micro-batches; returns their summed loss.

        Args:
            group: this process's share of each, and whether it counts.
            targets: of all processes.
        """
        losses: list[Tensor] = []
        for batch, counts in group:
            self.processes.idle = not counts
            loss = self.trainable.loss(batch)
            if not counts:
                loss = loss * 0.0
            self.scaler.scale(loss / targets).backward()
            losses.append(loss.detach().float())
        summed = float(torch.stack(losses).sum())
        return self.processes.sum_gradients(list(trained_parameters(self.trainable.module).values()), summed)

    def step(self) -> None:
        """Move the weights along the gradients, clipped where that is configured."""
        if self.config.max_grad_norm > 0:
            self.scaler.unscale_(self.optimizer)
            _clip(trained_parameters(self.trainable.module).values(), self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def scaler_state(self) -> dict[str, float]:
        """The gradient scaler's state, plain numbers; empty where there is none."""
        return self.scaler.state_dict()

    def restore_scaler(self, state: dict[str, float]) -> None:
        """Put the gradient scaler back to where a checkpoint was written."""
        if state:
            self.scaler.load_state_dict(state)


def _clip(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale all gradients together down to a norm of `largest` at most; torch's own function takes no sparse ones."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values())
        elif parameter.grad is not None:
            gradients.append(parameter.grad)
    norm = nn.utils.get_total_norm(gradients)
    scale = (largest / (norm + 1e-6)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(scale)
