"""One training loop for student, teacher and distilled student.

Lightning Fabric brings the device and half-precision scaling; the loop is ours, so that its phases are timed apart, a
large batch and the same batch in pieces give one gradient, and a run that was cut off anywhere goes on bit by bit as if
it had not been.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from recdistill.config import Precision, TrainConfig
from recdistill.errors import UserError
from recdistill.interruption import Interrupted, deferred, requested, stop_point
from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler
from recdistill.progress import progress_bar
from recdistill.steps import STEPS
from recdistill.training.checkpoint import (
    CHECKPOINT_FILE,
    Counts,
    copy_weights,
    load_checkpoint,
    put_weights,
    save_checkpoint,
    trained_parameters,
)
from recdistill.training.loading import load_batches
from recdistill.training.log import TrainingLog
from recdistill.training.schedule import learning_rate_factor

logger = logging.getLogger("recdistill")

WATCHED = "ndcg@10"
BETAS = (0.9, 0.98)
SECTIONS = {spec.trains: f"{spec.section}.train" for spec in STEPS if spec.trains}
"""Where the settings of a training stand, by what is trained."""
AfterValidation = Callable[[dict[str, Any]], bool]
"""Gets the row of each validation (`epoch`, `step`, metrics, …), those of earlier tries first; True ends the training
there."""
Rows = NDArray[np.int64]


class DivergedError(UserError):
    """The loss or the weights are no longer numbers."""


class Trainable(Protocol):
    """What `fit` trains."""

    @property
    def module(self) -> nn.Module:
        """The model; its parameters that require gradients are trained, kept and restored."""
        ...

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
        history: a row for each validation.
        batches_by_worker: micro-batches by the process that made them, over all tries.
        micro_batches_per_step: most micro-batches of one optimiser step, over all tries.
    """

    metrics: dict[str, float]
    best_epoch: float
    epochs: float
    steps: int
    targets: int
    seconds: float
    history: list[dict[str, Any]]
    batches_by_worker: dict[str, int]
    micro_batches_per_step: int


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
    tokens: TokenCount | None = None,
    after_validation: AfterValidation | None = None,
) -> FitResult:
    """Train until the epochs are over or validation has stopped getting better; then put the best weights back.

    Validation comes before the first step too: where training makes nothing better, the untrained weights are kept.

    Args:
        trainable: model, batches, loss, validation.
        config: the run's settings.
        folder: where checkpoints and logs go; training resumes from a checkpoint found there.
        profiler: gets the phases set-up, data wait, train step, validation, checkpoint.
        seed: of dropout and whatever else the loss draws from torch's own generator, which is as before afterwards.
        fingerprint: names model, data and settings; a checkpoint of another one is refused.
        name: shown in the progress bar.
        device: `cpu` or `cuda`.
        precision: only fp16 and fp16-mixed matter here: their gradients are scaled, so that small ones do not vanish.
        tokens: what the loss counts into; kept in the checkpoint and put back, so that it is of all tries.
        after_validation: is shown each validation and may end the training.

    Raises:
        DivergedError: the loss or the weights are no longer numbers.
        UserError: the checkpoint does not fit.
        Interrupted: a signal came; a checkpoint of the step that ran then is written, and training goes on from it.
    """
    with torch.random.fork_rng([torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed)
        with profiler.phase("set-up"):
            run = _Run(
                trainable, config, folder, profiler, fingerprint, name, device, precision, tokens, after_validation
            )
        try:
            with deferred():
                return run.go()
        finally:
            run.log.close()


class _Run:
    """The loop and its state."""

    def __init__(
        self,
        trainable: Trainable,
        config: TrainConfig,
        folder: Path,
        profiler: Profiler,
        fingerprint: str,
        name: str,
        device: str,
        precision: Precision,
        tokens: TokenCount | None,
        after_validation: AfterValidation | None,
    ) -> None:
        self.trainable, self.config, self.folder, self.profiler = trainable, config, folder, profiler
        self.fingerprint, self.name, self.tokens, self.after_validation = fingerprint, name, tokens, after_validation
        self.precision = precision
        scaled = precision.startswith("fp16")
        self.fabric = Fabric(accelerator=device, devices=1, precision="16-mixed" if scaled else "32-true")
        groups = [group | {"lr": config.learning_rate * group.get("lr", 1.0)} for group in trainable.parameter_groups()]
        self.peaks = [group["lr"] for group in groups]
        self.plain_optimizer = torch.optim.AdamW(
            groups, betas=BETAS, weight_decay=config.weight_decay, fused=not scaled
        )
        self.optimizer = self.fabric.setup_optimizers(self.plain_optimizer)
        self.batches: Iterator[tuple[str, Any]] = iter(())
        self.counts, self.best = Counts(), copy_weights(trainable.module)
        saved = load_checkpoint(folder, trainable.module, self.plain_optimizer, fingerprint)
        if saved:
            self.counts, self.best, scaler = saved
            self.fabric.strategy.precision.load_state_dict(scaler)
            if tokens is not None:
                if not self.counts.tokens:
                    raise UserError(f"{folder / CHECKPOINT_FILE}: of an earlier version; remove it to start anew")
                tokens.restore(self.counts.tokens)
        self.log = TrainingLog(folder, after_step=self.counts.step)
        self.last_checkpoint = time.monotonic()
        self.began = time.monotonic() - self.counts.seconds

    def go(self) -> FitResult:
        """Train, then put the best weights back."""
        counts, config = self.counts, self.config
        if counts.step or counts.history:
            logger.info("%s: going on from epoch %d, step %d", self.name, counts.epoch, counts.step)
        if self.after_validation is not None:
            for row in counts.history:
                self.after_validation(dict(row))
        if not counts.history:
            self._validate(0.0)
        with progress_bar(self.name, config.max_epochs * len(self._groups(0)), "steps") as self.progress:
            self.progress.advance(counts.step)
            while not counts.finished:
                self._epoch()
        put_weights(self.trainable.module, self.best, self.name)
        self.trainable.module.eval()
        best = counts.history[counts.best_row]
        metrics = {key: value for key, value in best.items() if "@" in key}
        epochs = counts.history[-1]["epoch"]
        return FitResult(
            metrics,
            best["epoch"],
            epochs,
            counts.step,
            counts.targets,
            counts.seconds,
            counts.history,
            counts.batches_by_worker,
            counts.micro_batches_per_step,
        )

    def _groups(self, epoch: int) -> list[Sequence[Rows]]:
        """The epoch's micro-batches, gathered into optimiser steps; the last may have fewer."""
        plan, size = self.trainable.plan(epoch), self.config.accumulate_grad_batches
        return [plan[start : start + size] for start in range(0, len(plan), size)]

    def _epoch(self) -> None:
        """What is left of the current epoch."""
        counts = self.counts
        groups = self._groups(counts.epoch)
        stops = self._validation_points(len(groups))
        plan = [rows for group in groups[counts.group :] for rows in group]
        if counts.validation_due:
            done = counts.epoch + counts.group / len(groups)
            self._set_learning_rate(done / self.config.max_epochs)
            self._validate(done)
        self.batches = load_batches(self.trainable.collate, plan, self.config.num_workers)
        try:
            while counts.group < len(groups) and not counts.finished:
                self._next_step(groups, stops)
        finally:
            self.batches = iter(())  # Worker processes end with theirs.
        if counts.group == len(groups):
            counts.epoch, counts.group, counts.epoch_loss, counts.epoch_targets = counts.epoch + 1, 0, 0.0, 0
            counts.finished |= counts.epoch == self.config.max_epochs
        self._checkpoint_if_due()

    def _next_step(self, groups: list[Sequence[Rows]], stops: set[int]) -> None:
        """The next optimiser step of the epoch, with the validation and the checkpoint that may follow it."""
        counts = self.counts
        with self.profiler.phase("data wait"):
            made = [next(self.batches) for _ in groups[counts.group]]
        counts.count_step([who for who, _ in made])
        group = [batch for _, batch in made]
        counts.group += 1
        done = counts.group / len(groups)
        with self.profiler.phase("train step"):
            self._step(group, (counts.epoch + done) / self.config.max_epochs)
        self.progress.advance(1, f"loss {counts.mean_loss:.3f}, best NDCG@10 {counts.best:.4f}")
        if counts.group in stops:
            self._check_weights()
            self._validate(counts.epoch + done)
        if counts.group < len(groups):
            self._checkpoint_if_due()

    def _validation_points(self, groups: int) -> set[int]:
        """After which steps of this epoch to validate; the last epoch always ends with it."""
        every, epoch = self.config.validate_every, self.counts.epoch
        if every < 1:
            times = round(1 / every)
            return {math.ceil(groups * turn / times) for turn in range(1, times + 1)}
        due = (epoch + 1) % round(every) == 0 or epoch + 1 == self.config.max_epochs
        return {groups} if due else set()

    def _step(self, group: list[Any], progress: float) -> None:
        """One optimiser step: the mean loss over all targets of the group, however many micro-batches it comes in."""
        counts = self.counts
        self.trainable.module.train()
        self._set_learning_rate(progress)
        targets = sum(self.trainable.num_targets(batch) for batch in group)
        losses = []
        for batch in group:
            loss = self.trainable.loss(batch)
            self.fabric.backward(loss / targets)
            losses.append(loss.detach().float())
        counts.step += 1
        loss_sum = float(torch.stack(losses).sum())
        self._check(loss_sum)
        if self.config.max_grad_norm > 0:
            self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        counts.epoch_loss += loss_sum
        counts.epoch_targets += targets
        counts.targets += targets
        self.log.step(counts.step, loss_sum / targets, self.optimizer.param_groups[0]["lr"])

    def _set_learning_rate(self, progress: float) -> None:
        """The schedule's, at this share of the training."""
        factor = learning_rate_factor(self.config, progress)
        for options, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            options["lr"] = peak * factor

    def _check(self, loss: float) -> None:
        """Stop a run whose loss is no longer a number, before it reaches the weights."""
        if not math.isfinite(loss):
            raise DivergedError(
                f"{self.name}: the loss is not a number any more at step {self.counts.step}; {self._advice()}"
            )

    def _check_weights(self) -> None:
        """Stop a run whose weights are no longer numbers: a loss that is one can have a gradient that is not."""
        finite = [parameter.isfinite().all() for parameter in trained_parameters(self.trainable.module).values()]
        if not bool(torch.stack(finite).all()):
            raise DivergedError(
                f"{self.name}: the weights are not numbers any more after step {self.counts.step}; {self._advice()}"
            )

    def _advice(self) -> str:
        """What may help, by the settings' whole names."""
        section = SECTIONS.get(self.name, "train")
        clip, key = self.config.max_grad_norm, f"{section}.max_grad_norm"
        ways = [f"a lower {section}.learning_rate", f"a lower {key}" if clip else f"{key}: 1, which is 0 (not clipped)"]
        if self.precision != "fp32":
            ways.append("teacher.precision: fp32")
        return f"try {' or '.join(ways)}"

    def _clip(self) -> None:
        """Clip the gradient's norm; scaled gradients are unscaled first."""
        self.fabric.strategy.precision.unscale_gradients(self.plain_optimizer)
        nn.utils.clip_grad_norm_(trained_parameters(self.trainable.module).values(), self.config.max_grad_norm)

    def _validate(self, epoch: float) -> None:
        """Validate, log, keep the weights if they are the best so far, decide whether to stop."""
        counts = self.counts
        self.trainable.module.eval()
        metrics = self._measure()
        counts.validation_due = False
        self._clock()
        counts.history.append(
            {
                "epoch": round(epoch, 4),
                "step": counts.step,
                "targets": counts.targets,
                "loss": counts.mean_loss if counts.step else None,
                "learning_rate": self.optimizer.param_groups[0]["lr"] if counts.step else None,
                **metrics,
                "seconds": round(counts.seconds, 3),
            }
        )
        self.log.validation(counts.history)
        if metrics[WATCHED] > counts.best:
            counts.best, counts.best_row, counts.stale = metrics[WATCHED], len(counts.history) - 1, 0
            self.best = copy_weights(self.trainable.module)
        else:
            counts.stale += 1
            counts.finished = 0 < self.config.patience <= counts.stale
        if self.after_validation is not None and self.after_validation(dict(counts.history[-1])):
            counts.finished = True
        loss = f"loss {counts.mean_loss:.4f}, " if counts.step else ""
        text = f"{loss}validation NDCG@10 {metrics[WATCHED]:.4f} (best {counts.best:.4f})"
        logger.info("%s: epoch %g, %s, %.0f s", self.name, epoch, text, counts.seconds)

    def _measure(self) -> dict[str, float]:
        """Validation's metrics. Where a signal breaks it off, the step before it is saved, and going on begins here."""
        try:
            with self.profiler.phase("validation"):
                return self.trainable.validate()
        except Interrupted as stopped:
            if stopped.at_once or not self.counts.step:
                raise
            self.counts.validation_due = True
            self._checkpoint()
            raise Interrupted(stopped.signal, self._place()) from stopped

    def _checkpoint_if_due(self) -> None:
        """Write a checkpoint at the end, where the last one is long enough ago, and where a signal asks to stop."""
        due = time.monotonic() - self.last_checkpoint >= self.config.checkpoint_seconds
        if due or self.counts.finished or requested():
            self._checkpoint()
        stop_point(self._place())

    def _place(self) -> str:
        """How far the run is, in a person's words."""
        done = f"after {self.counts.epoch} epochs and {self.counts.group} steps"
        return f"the {self.name} {done}, {self.counts.step} steps in all"

    def _checkpoint(self) -> None:
        """Write the whole state to the disk."""
        with self.profiler.phase("checkpoint"):
            self._clock()
            if self.tokens is not None:
                self.counts.tokens = self.tokens.state()
            scaler = self.fabric.strategy.precision.state_dict()
            save_checkpoint(
                self.folder,
                self.trainable.module,
                self.best,
                self.plain_optimizer,
                scaler,
                self.counts,
                self.fingerprint,
            )
        self.last_checkpoint = time.monotonic()

    def _clock(self) -> None:
        """Bring the seconds of the run up to date."""
        self.counts.seconds = time.monotonic() - self.began
