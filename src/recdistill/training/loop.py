"""The loop of a training and its state: epochs, steps, validations, checkpoints."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from recdistill.config import Precision, TrainConfig
from recdistill.errors import UserError
from recdistill.interruption import Interrupted, requested, stop_together
from recdistill.measure.context import RunContext
from recdistill.progress import progress_bar
from recdistill.storage.checksums import DamagedError
from recdistill.training.callbacks import Callbacks
from recdistill.training.checkpoint import (
    CHECKPOINT_FILE,
    Counts,
    copy_weights,
    discard_checkpoint,
    load_checkpoint,
    put_weights,
    save_checkpoint,
    trained_parameters,
)
from recdistill.training.divergence import DivergedError, DivergenceCheck
from recdistill.training.loading import load_batches
from recdistill.training.optimisation import Optimisation
from recdistill.training.result import FitResult
from recdistill.training.sharing import refuse_idle, shares
from recdistill.training.trainable import Rows, Trainable
from recdistill.training.validations import Validation

logger = logging.getLogger("recdistill")


class Loop:
    """One training, from its checkpoint or from its beginning; arguments as :func:`recdistill.training.fit.fit` has
    them, with all callbacks.
    """

    def __init__(
        self,
        trainable: Trainable,
        config: TrainConfig,
        context: RunContext,
        seed: int,
        fingerprint: str,
        name: str,
        precision: Precision,
        callbacks: Callbacks,
    ) -> None:
        self.trainable, self.config, self.folder = trainable, config, context.shared
        self.processes, self.seed = context.processes, seed
        self.fingerprint, self.name, self.callbacks = fingerprint, name, callbacks
        self.check = DivergenceCheck(name, config, precision)
        self.optimisation = Optimisation(trainable, config, context.device, precision, self.processes)
        self.batches: Iterator[tuple[str, Any]] = iter(())
        refuse_idle(trainable.plan(0), self.processes, name)
        self.processes.share_weights(trained_parameters(trainable.module).values())
        self.counts, self.best = Counts(), copy_weights(trainable.module)
        self.saved_step: int | None = None
        self._resume()
        self.last_checkpoint = time.monotonic()
        self.began = time.monotonic() - self.counts.seconds

    def _resume(self) -> None:
        """Resume from the checkpoint, if there is one; what a damaged one held cannot be had again."""
        try:
            saved = load_checkpoint(self.folder, self.trainable.module, self.optimisation.optimizer, self.fingerprint)
        except DamagedError as error:
            logger.warning("%s: begins anew, since %s", self.name, error)
            self.processes.wait()
            discard_checkpoint(self.folder)
            saved = None
        if saved:
            self.counts, self.best, scaler = saved
            self.saved_step = self.counts.step
            self.optimisation.restore_scaler(scaler)
        try:
            self.callbacks.started(self.counts, resumed=saved is not None)
        except ValueError as error:
            raise UserError(f"{self.folder / CHECKPOINT_FILE}: {error}; remove it to start anew") from error

    def go(self) -> FitResult:
        """Train, then put the best weights back."""
        counts, config = self.counts, self.config
        if counts.step or counts.history:
            logger.info("%s: resumed from epoch %d, step %d", self.name, counts.epoch, counts.step)
        if not counts.history:
            self._validate(0.0)
        with progress_bar(self.name, config.max_epochs * len(self._groups(0)), "steps") as self.progress:
            self.progress.advance(counts.step)
            try:
                while not counts.finished:
                    self._epoch()
            except DivergedError:
                if self.saved_step is not None:
                    kept = f"the checkpoint of step {self.saved_step} is kept, {self.folder / CHECKPOINT_FILE}"
                    logger.warning("%s: diverged; %s", self.name, kept)
                raise
        put_weights(self.trainable.module, self.best, self.name)
        self.trainable.module.eval()
        return FitResult.of(counts)

    def _groups(self, epoch: int) -> list[Sequence[Rows]]:
        """The epoch's micro-batches, gathered into optimiser steps; the last may have fewer."""
        plan, size = self.trainable.plan(epoch), self.config.accumulate_grad_batches
        return [plan[start : start + size] for start in range(0, len(plan), size)]

    def _epoch(self) -> None:
        """What is left of the current epoch."""
        counts = self.counts
        groups = self._groups(counts.epoch)
        stops = self._validation_points(len(groups))
        own = shares([rows for group in groups[counts.group :] for rows in group], self.processes)
        self.counting = iter([share.counts for share in own])
        if counts.validation_due:
            done = counts.epoch + counts.group / len(groups)
            self.optimisation.set_learning_rate(done / self.config.max_epochs)
            self._validate(done)
        rows_of_each = [share.rows for share in own]
        self.batches = load_batches(self.trainable.collate, rows_of_each, self.config.num_workers)
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
        with self.callbacks.phase("data wait"):
            made = [next(self.batches) for _ in groups[counts.group]]
        counts.count_step([who for who, _ in made])
        group = [(batch, next(self.counting)) for _, batch in made]
        counts.group += 1
        done = counts.group / len(groups)
        with self.callbacks.phase("train step"):
            self._step(group, (counts.epoch + done) / self.config.max_epochs)
        self.progress.advance(1, f"loss {counts.mean_loss:.3f}, best NDCG@10 {counts.best:.4f}")
        if counts.group in stops:
            self.check.weights(self.trainable.module, counts.step)
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

    def _step(self, group: list[tuple[Any, bool]], progress: float) -> None:
        """One optimiser step: the mean loss over all targets of the group, however many micro-batches it comes in, and
        however many processes read them.
        """
        counts, optimisation = self.counts, self.optimisation
        self.trainable.module.train()
        optimisation.set_learning_rate(progress)
        own = sum(self.trainable.num_targets(batch) for batch, counted in group if counted)
        targets = round(self.processes.sums([own])[0])
        self.processes.seed(self.seed, counts.step)
        loss_sum = optimisation.backward(group, targets)
        counts.step += 1
        self.check.loss(loss_sum, counts.step)
        optimisation.step()
        counts.epoch_loss += loss_sum
        counts.epoch_targets += targets
        counts.targets += targets
        self.callbacks.stepped(counts.step, loss_sum / targets, optimisation.learning_rate)

    def _validate(self, epoch: float) -> None:
        """Validate, keep the weights if they are the best so far, decide whether to stop."""
        counts = self.counts
        self.trainable.module.eval()
        metrics = self._measure()
        counts.validation_due = False
        self._clock()
        latest = self._row(epoch, metrics)
        counts.history.append(latest)
        if latest.watched > counts.best:
            counts.best, counts.best_row, counts.stale = latest.watched, len(counts.history) - 1, 0
            self.best = copy_weights(self.trainable.module)
        else:
            counts.stale += 1
            counts.finished = 0 < self.config.patience <= counts.stale
        if self.processes.share(self.callbacks.validated(counts.history)):
            counts.finished = True
        loss = f"loss {counts.mean_loss:.4f}, " if counts.step else ""
        text = f"{loss}validation NDCG@10 {latest.watched:.4f} (best {counts.best:.4f})"
        logger.info("%s: epoch %g, %s, %.0f s", self.name, epoch, text, counts.seconds)

    def _row(self, epoch: float, metrics: dict[str, float]) -> Validation:
        counts = self.counts
        return Validation(
            epoch=round(epoch, 4),
            step=counts.step,
            targets=counts.targets,
            loss=counts.mean_loss if counts.step else None,
            learning_rate=self.optimisation.learning_rate if counts.step else None,
            metrics=metrics,
            seconds=round(counts.seconds, 3),
        )

    def _measure(self) -> dict[str, float]:
        """Validation's metrics. Where a signal breaks it off, the step before it is saved, and resuming begins here."""
        try:
            with self.callbacks.phase("validation"):
                return self.trainable.validate()
        except Interrupted as stopped:
            if stopped.at_once or not self.counts.step:
                raise
            self.counts.validation_due = True
            self._checkpoint()
            raise Interrupted(stopped.signal, self._place()) from stopped

    def _checkpoint_if_due(self) -> None:
        """Write a checkpoint at the end, where the last one is long enough ago, and where a signal asks to stop."""
        late = time.monotonic() - self.last_checkpoint >= self.config.checkpoint_seconds
        any_late, stop = self.processes.sums([late, requested()])
        if any_late or self.counts.finished or stop:
            self._checkpoint()
        stop_together(bool(stop) or (self.processes.size == 1 and requested()), self._place())

    def _place(self) -> str:
        """How far the run is, in a person's words."""
        done = f"after {self.counts.epoch} epochs and {self.counts.group} steps"
        return f"the {self.name} {done}, {self.counts.step} steps in all"

    def _checkpoint(self) -> None:
        """Write the whole state to the disk; weights that are no numbers never take a good checkpoint's place."""
        self.check.weights(self.trainable.module, self.counts.step)
        with self.callbacks.phase("checkpoint"):
            self._clock()
            self.callbacks.saving(self.counts)
            if self.processes.is_first:
                module, optimizer = self.trainable.module, self.optimisation.optimizer
                scaler = self.optimisation.scaler_state()
                save_checkpoint(self.folder, module, self.best, optimizer, scaler, self.counts, self.fingerprint)
        self.last_checkpoint, self.saved_step = time.monotonic(), self.counts.step

    def _clock(self) -> None:
        """Bring the seconds of the run up to date."""
        self.counts.seconds = time.monotonic() - self.began
