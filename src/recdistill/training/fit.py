"""One training loop for student, teacher and distilled student.

Lightning Fabric brings the device and half-precision scaling; the loop is ours, so that its phases are timed apart, a
large batch and the same batch in pieces give one gradient, and a run that was cut off anywhere goes on bit by bit as if
it had not been.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from recdistill.config import Precision, TrainConfig
from recdistill.errors import UserError
from recdistill.profiling.profiler import Profiler
from recdistill.progress import progress_bar
from recdistill.training.checkpoint import load_best, load_checkpoint, save_best, save_checkpoint, trained_parameters
from recdistill.training.log import TrainingLog
from recdistill.training.schedule import learning_rate_factor

logger = logging.getLogger("recdistill")

WATCHED = "ndcg@10"
CHECK_LOSS_EVERY = 10
Rows = NDArray[np.int64]


class Trainable(Protocol):
    """What `fit` trains."""

    module: nn.Module

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for AdamW; `lr` in a group is a factor of the peak learning rate."""
        ...

    def plan(self, epoch: int) -> Sequence[Rows]:
        """The epoch's micro-batches, as row numbers; depends on the seed and the epoch alone."""
        ...

    def collate(self, rows: Rows) -> Any:
        """Make one micro-batch on the CPU; may run in a worker process."""
        ...

    def num_targets(self, batch: Any) -> int:
        """Targets in a micro-batch."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """The loss SUMMED over the micro-batch's targets."""
        ...

    def validate(self) -> dict[str, float]:
        """Metrics on validation; `ndcg@10` among them."""
        ...


@dataclass
class Counts:
    """How far a run is: everything beside tensors that a checkpoint must hold."""

    epoch: int = 0
    group: int = 0
    step: int = 0
    epoch_loss: float = 0.0
    epoch_targets: int = 0
    targets: int = 0
    stale: int = 0
    best: float = -math.inf
    best_epoch: float = 0.0
    finished: bool = False
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class FitResult:
    """What came out: validation metrics of the kept weights, when they were reached, and the whole history."""

    metrics: dict[str, float]
    best_epoch: float
    epochs: float
    steps: int
    targets: int
    seconds: float
    history: list[dict[str, Any]]


def fit(
    trainable: Trainable,
    config: TrainConfig,
    folder: Path,
    profiler: Profiler,
    seed: int,
    fingerprint: str,
    name: str,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> FitResult:
    """Train until the epochs are over or validation has stopped getting better; the best weights are in the module then.

    Validation comes before the first step too: where training makes nothing better, the untrained weights are kept.

    Args:
        trainable: model, batches, loss, validation.
        config: the run's settings.
        folder: where checkpoints and logs go; a checkpoint found there is gone on from.
        profiler: gets the phases set-up, data wait, train step, validation, checkpoint.
        seed: of dropout and whatever else the loss draws from torch's own generator.
        fingerprint: names model, data and settings; a checkpoint of another one is refused.
        name: shown in the progress bar.
        device: `cpu` or `cuda`.
        precision: only fp16-mixed matters here: its gradients are scaled.

    Raises:
        UserError: the loss is no longer a number, or the checkpoint does not fit.
    """
    return _Run(trainable, config, folder, profiler, seed, fingerprint, name, device, precision).go()


class _Run:
    """The loop and its state."""

    def __init__(
        self, trainable: Trainable, config: TrainConfig, folder: Path, profiler: Profiler, seed: int, fingerprint: str,
        name: str, device: str, precision: Precision,
    ) -> None:  # fmt: skip
        self.trainable, self.config, self.folder, self.profiler = trainable, config, folder, profiler
        self.fingerprint, self.name = fingerprint, name
        with profiler.phase("set-up"):
            torch.manual_seed(seed)
            scaled = "16-mixed" if precision == "fp16-mixed" else "32-true"
            self.fabric = Fabric(accelerator=device, devices=1, precision=scaled)  # type: ignore[arg-type]
            groups = [
                group | {"lr": config.learning_rate * group.get("lr", 1.0)} for group in trainable.parameter_groups()
            ]
            self.peaks = [group["lr"] for group in groups]
            self.plain_optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=config.weight_decay)
            self.optimizer = self.fabric.setup_optimizers(self.plain_optimizer)
            saved = load_checkpoint(folder, trainable.module, self.plain_optimizer, fingerprint)
            self.counts = Counts(**saved) if saved else Counts()
        self.log = TrainingLog(folder, first_step=self.counts.step)
        self.last_checkpoint = time.monotonic()
        self.began = time.monotonic() - self.counts.seconds

    def go(self) -> FitResult:
        """Train, then put the best weights back."""
        counts, config = self.counts, self.config
        if counts.history:
            logger.info("%s: going on from epoch %d, step %d", self.name, counts.epoch, counts.step)
        else:
            self._validate(0.0)
        with progress_bar(self.name, config.max_epochs * len(self._groups(0)), "steps") as self.progress:
            self.progress.advance(counts.step)
            while counts.epoch < config.max_epochs and not counts.finished:
                self._epoch()
        if not counts.finished:
            counts.finished = True
            self._checkpoint()
        self.log.close()
        load_best(self.folder, self.trainable.module)
        self.trainable.module.eval()
        best = next(row for row in counts.history if row["epoch"] == counts.best_epoch and row.get(WATCHED) is not None)
        metrics = {key: value for key, value in best.items() if "@" in key}
        last = counts.history[-1]["epoch"]
        return FitResult(
            metrics, counts.best_epoch, last, counts.step, counts.targets, counts.seconds, counts.history
        )  # fmt: skip

    def _groups(self, epoch: int) -> list[Sequence[Rows]]:
        """The epoch's micro-batches, gathered into optimiser steps."""
        plan, size = self.trainable.plan(epoch), self.config.accumulate_grad_batches
        return [plan[start : start + size] for start in range(0, len(plan), size)]

    def _epoch(self) -> None:
        """What is left of the current epoch."""
        counts = self.counts
        groups = self._groups(counts.epoch)
        stops = self._validation_points(len(groups))
        batches = self._batches([rows for group in groups[counts.group :] for rows in group])
        while counts.group < len(groups):
            with self.profiler.phase("data wait"):
                group = [next(batches) for _ in groups[counts.group]]
            progress = (counts.epoch + counts.group / len(groups)) / self.config.max_epochs
            with self.profiler.phase("train step"):
                self._step(group, progress)
            counts.group += 1
            self.progress.advance(1, f"loss {counts.epoch_loss / max(1, counts.epoch_targets):.3f}")
            done = counts.group / len(groups)
            if counts.group in stops:
                self._validate(counts.epoch + done)
                if counts.finished:
                    return
            elif time.monotonic() - self.last_checkpoint >= self.config.checkpoint_seconds:
                self._checkpoint()
        self._check_loss()
        counts.epoch, counts.group, counts.epoch_loss, counts.epoch_targets = counts.epoch + 1, 0, 0.0, 0

    def _validation_points(self, groups: int) -> set[int]:
        """After which steps of this epoch to validate; the last epoch always ends with it."""
        every, epoch = self.config.validate_every, self.counts.epoch
        if every < 1:
            times = round(1 / every)
            return {math.ceil(groups * turn / times) for turn in range(1, times + 1)}
        due = (epoch + 1) % round(every) == 0 or epoch + 1 == self.config.max_epochs
        return {groups} if due else set()

    def _batches(self, plan: list[Rows]) -> Iterator[Any]:
        """The micro-batches in order, made here or by worker processes."""
        if self.config.num_workers == 0:
            return (self.trainable.collate(rows) for rows in plan)
        loader = DataLoader(
            _Collated(self.trainable, plan), batch_size=None, shuffle=False, num_workers=self.config.num_workers
        )
        return iter(loader)

    def _step(self, group: list[Any], progress: float) -> None:
        """One optimiser step: the mean loss over all targets of the group, however many micro-batches it comes in."""
        counts, module = self.counts, self.trainable.module
        module.train()
        factor = learning_rate_factor(self.config, progress)
        for options, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            options["lr"] = peak * factor
        total = sum(self.trainable.num_targets(batch) for batch in group)
        loss_sum = torch.zeros(())
        for batch in group:
            loss = self.trainable.loss(batch)
            self.fabric.backward(loss / total)
            loss_sum = loss_sum + loss.detach().float()
        if self.config.gradient_clip > 0:
            self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        counts.epoch_loss += float(loss_sum)
        counts.epoch_targets += total
        counts.targets += total
        counts.step += 1
        self.log.step(counts.step, float(loss_sum) / total, self.peaks[0] * factor)
        if counts.step % CHECK_LOSS_EVERY == 0:
            self._check_loss()

    def _clip(self) -> None:
        """Clip the gradient's norm; scaled gradients are unscaled first."""
        scaler = getattr(self.fabric._precision, "scaler", None)
        if scaler is not None:
            scaler.unscale_(self.plain_optimizer)
        nn.utils.clip_grad_norm_(trained_parameters(self.trainable.module).values(), self.config.gradient_clip)

    def _check_loss(self) -> None:
        """Stop a run whose loss is no longer a number."""
        if not math.isfinite(self.counts.epoch_loss):
            raise UserError(
                f"{self.name}: the loss is not a number any more at step {self.counts.step}; "
                "try a lower train.learning_rate, train.gradient_clip, or another precision"
            )

    def _validate(self, epoch: float) -> None:
        """Validate, log, keep the weights if they are the best so far, decide whether to stop."""
        counts = self.counts
        self.trainable.module.eval()
        with self.profiler.phase("validation"):
            metrics = self.trainable.validate()
        counts.seconds = time.monotonic() - self.began
        row: dict[str, Any] = {
            "epoch": round(epoch, 4), "step": counts.step, "targets": counts.targets,
            "loss": counts.epoch_loss / counts.epoch_targets if counts.epoch_targets else None,
            "learning_rate": self.optimizer.param_groups[0]["lr"] if counts.step else None,
            **metrics, "seconds": round(counts.seconds, 3),
        }  # fmt: skip
        counts.history.append(row)
        self.log.validation(counts.history)
        if metrics[WATCHED] > counts.best:
            counts.best, counts.best_epoch, counts.stale = metrics[WATCHED], row["epoch"], 0
            with self.profiler.phase("checkpoint"):
                save_best(self.folder, self.trainable.module)
        else:
            counts.stale += 1
            counts.finished = 0 < self.config.patience <= counts.stale
        loss = "" if row["loss"] is None else f"loss {row['loss']:.4f}, "
        text = f"{loss}validation NDCG@10 {metrics[WATCHED]:.4f} (best {counts.best:.4f})"
        logger.info("%s: epoch %g, %s, %.0f s", self.name, row["epoch"], text, counts.seconds)
        self._checkpoint()

    def _checkpoint(self) -> None:
        with self.profiler.phase("checkpoint"):
            self.counts.seconds = time.monotonic() - self.began
            save_checkpoint(
                self.folder, self.trainable.module, self.plain_optimizer, asdict(self.counts), self.fingerprint
            )
        self.last_checkpoint = time.monotonic()


class _Collated(Dataset[Any]):
    """Micro-batches by their place in the plan, for worker processes."""

    def __init__(self, trainable: Trainable, plan: list[Rows]) -> None:
        self.trainable, self.plan = trainable, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Any:
        return self.trainable.collate(self.plan[index])
