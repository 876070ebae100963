"""Train a fresh student on the data and on what the teacher left in the store; no teacher is in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recdistill.config import DistillConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import Batch, training_windows
from recdistill.distill.dro import dro_loss, propensities
from recdistill.distill.lists import chunk_rows, list_scores, without_targets
from recdistill.distill.methods import ListBatch, method_loss
from recdistill.distill.outputs import OutputsReader
from recdistill.distill.strength import numbers, settled
from recdistill.evaluation.protocol import deciding
from recdistill.measure.context import RunContext
from recdistill.storage.run_folder import fingerprint
from recdistill.students.base import ItemsInUse, Student
from recdistill.students.make import save_student
from recdistill.students.negatives import Negatives
from recdistill.training.checkpoint import discard_checkpoint
from recdistill.training.fit import fit
from recdistill.training.result import FitResult
from recdistill.training.selecting import selected_events
from recdistill.training.similarity import add_similarity
from recdistill.training.student import StudentTraining, settled_loss
from recdistill.training.title_map import write_title_map
from recdistill.training.titled_student import titled_student
from recdistill.training.trainable import ParameterGroup, Rows


@dataclass(frozen=True)
class DistillBatch:
    """A batch of windows and the teacher's records of its M targets, in the order of `batch.targets > 0`.

    Attributes:
        batch: the windows.
        top_items: int64 (M, K), best first; 0 in empty places.
        top_scores: fp32 (M, K); -inf in empty places.
        selected: bool (M,), whether the target is distilled; False where its list is empty.
    """

    batch: Batch
    top_items: Tensor
    top_scores: Tensor
    selected: Tensor

    def to(self, device: torch.device | str) -> "DistillBatch":
        """The same batch on `device`."""
        return DistillBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


class DistilledTraining:
    """A student's training with the teacher's records beside each batch, in the form that `fit` trains.

    The loss is L_rec + λ_d L_d + α L_dro over all targets of a batch at once; L_d counts the selected ones. Mixed
    histories, which stand behind the data's own, have lists and no targets: of them L_d alone is learned.

    Args:
        plain: the student, its windows, its own loss.
        config: method and weights, none of them `auto`.
        reader: the store.
        selected: bool (interactions,), see :func:`recdistill.training.selecting.selected_events`.
        data: the data without mixed histories; None: `plain` has none.
    """

    def __init__(
        self,
        plain: StudentTraining,
        config: DistillConfig,
        reader: OutputsReader,
        selected: NDArray[np.bool_],
        data: PreparedData | None = None,
    ) -> None:
        self.plain, self.config, self.reader, self.selected = plain, config, reader, selected
        self.weight, _ = numbers(config)
        self.top_k = min(config.top_k, reader.top_k)
        self.drop_target = config.drop_target and config.method != "full_catalog_ce"
        own = data or plain.data
        self.people = own.num_users
        self.propensity = propensities(torch.from_numpy(own.train_item_counts())).to(plain.device)

    @property
    def module(self) -> Student:
        """The student."""
        return self.plain.module

    def parameter_groups(self) -> list[ParameterGroup]:
        """The student's."""
        return self.plain.parameter_groups()

    def plan(self, epoch: int) -> Sequence[Rows]:
        """The student's."""
        return self.plain.plan(epoch)

    def collate(self, rows: Rows) -> DistillBatch:
        """One batch of windows with its records, looked up by key.

        Raises:
            UserError: the store lacks a target.
        """
        batch = self.plain.collate(rows)
        real = batch.targets > 0
        users = batch.users.unsqueeze(1).expand_as(real)[real].numpy()
        positions = batch.positions[real].numpy() + 1
        records = self.reader.require(users, positions, with_states=False)
        items, scores = records.top_items, records.top_scores
        if self.drop_target:  # Mixed histories have no targets: what comes next in them is one item of many.
            targets = np.where(users < self.people, batch.targets[real].numpy(), -1)
            items, scores = without_targets(items, scores, targets)
        selected = self.selected[self.plain.data.offsets[users] + positions] & (items[:, 0] > 0)
        return DistillBatch(
            batch,
            torch.from_numpy(items[:, : self.top_k].astype(np.int64)),
            torch.from_numpy(np.ascontiguousarray(scores[:, : self.top_k])),
            torch.from_numpy(selected),
        )

    def num_targets(self, batch: DistillBatch) -> int:
        """Items to predict in the batch."""
        return self.plain.num_targets(batch.batch)

    def loss(self, batch: DistillBatch) -> Tensor:
        """The whole loss, summed over the batch's targets."""
        batch = batch.to(self.plain.device)
        config, real = self.config, batch.batch.targets > 0
        targets = batch.batch.targets[real]
        own = None
        if self.people < self.plain.data.num_users:
            own = (batch.batch.users < self.people).unsqueeze(1).expand_as(real)[real]
        own_targets = targets if own is None else targets[own]
        negatives = self.plain.negatives(own_targets)
        used = self._items_in_use(negatives, batch.batch.items, targets, batch.top_items)
        states = self.module.states_with(used.vectors, used.numbers(batch.batch.items))[real]
        own_states = states if own is None else states[own]
        loss = self.plain.data_loss(own_states, used, own_targets, negatives)
        if self.weight > 0:
            loss = loss + self.weight * self._distillation_loss(states, used, targets, batch)
        if config.dro_weight > 0:
            loss = loss + config.dro_weight * self._dro_loss(own_states, used.vectors, own_targets)
        return loss

    def _items_in_use(self, negatives: Negatives | None, *items: Tensor) -> ItemsInUse:
        if self.config.reads_whole_catalog:
            return self.module.whole_catalog()
        return self.plain.items_in_use(negatives, *items)

    def validate(self) -> dict[str, float]:
        """The student's."""
        return self.plain.validate()

    def _distillation_loss(self, states: Tensor, used: ItemsInUse, targets: Tensor, batch: DistillBatch) -> Tensor:
        """L_d, or the loss in its place, over the selected targets."""
        config, items, teacher_scores, chosen = self.config, batch.top_items, batch.top_scores, batch.selected
        if not bool(chosen.all()):
            states, targets, items, teacher_scores = (one[chosen] for one in (states, targets, items, teacher_scores))
        targets, items = used.numbers(targets), used.numbers(items)
        scores = list_scores(states, used.vectors, items)
        lists = ListBatch(states, used.vectors, targets, items, teacher_scores, scores, self.top_k)
        return method_loss(config.chosen, lists)

    def _dro_loss(self, states: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
        """The robust term, in chunks that are computed again in the backward pass: no (M, N) scores are kept."""

        def part(states: Tensor, targets: Tensor) -> Tensor:
            return dro_loss(states @ vectors[1:].T, targets, self.propensity, self.config.dro_temperature)

        size = chunk_rows(vectors)
        pairs = zip(torch.split(states, size), torch.split(targets, size), strict=True)
        parts: list[Tensor] = [checkpoint(part, *pair, use_reentrant=False) for pair in pairs]
        return torch.stack(parts).sum()


def make_distilled(
    config: RunConfig, data: PreparedData, reader: OutputsReader, student_folder: Path | None = None
) -> Student:
    """An untrained student of the `student` section's shape that reads titles as the teacher does."""
    embeddings = torch.from_numpy(reader.item_embeddings.astype(np.float32))
    return titled_student(config, data.num_items, embeddings, student_folder)


def train_distilled(
    config: RunConfig,
    data: PreparedData,
    asked: PreparedData,
    reader: OutputsReader,
    student_folder: Path,
    context: RunContext,
) -> FitResult:
    """Train the distilled student and write it to the context's folder, its titles folded into its item vectors.

    How titles became vectors is written beside it, for items that come later (:mod:`recdistill.serving.new_items`).

    Args:
        config: `student` gives the shape, `evaluate` how validation targets are ranked, `distill` the rest.
        data: the histories.
        asked: the same with mixed ones behind them, as the teacher was asked about them.
        reader: the teacher's outputs.
        student_folder: the finished plain student, asked which targets are worth distilling.
        context: its folder gets checkpoints, logs, and the student in the end; its profiler the phases strength,
            selection, set-up, those of `fit`, title map, and write.

    With `distill.title_decay` its scores get a part for similar titles in the end.

    Raises:
        UserError: the store lacks a target, or training diverged.
    """
    profiler, folder = context.profiler, context.folder
    with profiler.phase("strength"):
        events_per_item = float(data.train_item_counts()[1:].mean())
        with context.processes.first_goes_first():
            decided = settled(config.distill, events_per_item, context.shared)
        asked_auto = [name for name in ("weight", "dropout") if getattr(config.distill, name) == "auto"]
        context.chosen.update({name: getattr(decided, name) for name in asked_auto})
        config = replace(config, distill=decided)
    with profiler.phase("selection"):
        if not config.distill.weight:  # No list is learned, and mixed histories have nothing else to teach.
            asked = data
        settled_loss(config.distill.loss, data.num_items, folder)
        with context.processes.first_goes_first():
            selected = selected_events(config, asked, reader, student_folder, context.shared, context.device)
    with profiler.phase("set-up"):
        student = make_distilled(config, data, reader, student_folder).to(context.device)
        windows = training_windows(asked, config.student.max_length, config.student.windows)
        train = config.distill.train
        plain = StudentTraining(
            student,
            asked,
            windows,
            config.distill.loss,
            train,
            config.seed,
            context.device,
            config.evaluate,
            None,
            data,
            context.processes,
        )
        training = DistilledTraining(plain, config.distill, reader, selected, data)
    made_from = (data.fingerprint, data.split_fingerprint, reader.fingerprints.teacher)
    name = fingerprint(
        "distilled",
        config.distill,
        config.student,
        config.seed,
        config.decided_export,
        config.teacher.title_dim,
        *made_from,
        *deciding(config.evaluate).items(),
    )
    result = fit(training, train, context, config.seed, name, "distilled student")
    embeddings = torch.from_numpy(reader.item_embeddings.astype(np.float32))
    similar = config.distill.title_decay > 0 and student.items.projection is not None
    with profiler.phase("title map"):
        write_title_map(student, embeddings, config, data, folder, similar)
    if similar:
        with profiler.phase("similar titles"):
            add_similarity(student, embeddings, config, data, context)
    with profiler.phase("write"):
        save_student(student, folder)
        discard_checkpoint(folder)
    return result
