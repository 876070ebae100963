"""Train the small model: every position of every history predicts the item after it."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import EvaluateConfig, LossConfig, RunConfig, StudentConfig, TrainConfig
from recdistill.config.loss import CrossEntropy
from recdistill.data.batches import micro_batches
from recdistill.data.block_shuffle import by_blocks
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Batch, Windows, collate, training_windows
from recdistill.evaluation.protocol import deciding, validation_metrics
from recdistill.evaluation.scorer import StateScorer, state_scorer
from recdistill.measure.context import RunContext
from recdistill.parallel.processes import ALONE, Processes
from recdistill.storage.files import write_json
from recdistill.storage.run_folder import fingerprint
from recdistill.students.base import ItemsInUse, Student
from recdistill.students.losses import training_loss
from recdistill.students.make import load_student, make_student, save_student
from recdistill.students.negatives import Negatives, NegativeSampler
from recdistill.training.checkpoint import discard_checkpoint
from recdistill.training.fit import fit
from recdistill.training.result import FitResult
from recdistill.training.trainable import ParameterGroup, Rows

logger = logging.getLogger("recdistill")

LOSS_FILE = "loss.json"
"""What `loss.name: auto` took."""
TITLE_WEIGHT = 1.0
"""Weight of the projected titles in the item vectors of a student that sees them: the default of
`distill.embedding_weight`, which is not read here."""


class StudentTraining:
    """A student, its windows and its loss, in the form that `fit` trains.

    Args:
        student: the model.
        data: histories and split.
        windows: what is trained on.
        loss: the training loss.
        train: the training run.
        seed: of the batches' order.
        device: `cpu` or `cuda`.
        evaluate: how validation targets are ranked.
        validation: what is validated on; None: all validation targets.
        counted: the data whose training interactions say how popular an item is; None: `data`.
        processes: that train together.
    """

    def __init__(
        self,
        student: Student,
        data: PreparedData,
        windows: Windows,
        loss: LossConfig,
        train: TrainConfig,
        seed: int,
        device: str,
        evaluate: EvaluateConfig,
        validation: Targets | None = None,
        counted: PreparedData | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.module = student
        self.data, self.windows = data, windows
        self.chosen_loss, self.sampler = loss.chosen(data.num_items), None
        if not isinstance(self.chosen_loss, CrossEntropy):
            counts = torch.from_numpy((counted or data).train_item_counts())
            self.sampler = NegativeSampler(self.chosen_loss.sampling, counts)
            student.items.sparse_gradients = self.chosen_loss.sampling.lazy_adam
        self.train, self.seed, self.device = train, seed, device
        self.evaluate, self.validation, self.processes = evaluate, validation, processes

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters alike."""
        return [{"params": list(self.module.parameters())}]

    def plan(self, epoch: int) -> Sequence[Rows]:
        """Batches of like lengths, shuffled by `(seed, epoch)`."""
        generator, train = np.random.default_rng([self.seed, epoch]), self.train

        def batches(lengths: NDArray[Any]) -> list[Rows]:
            return micro_batches(lengths, train.batch_size, train.batch_tokens, generator)

        return by_blocks(self.windows.lengths, train.shuffle_block, generator, batches)

    def collate(self, rows: Rows) -> Batch:
        """One batch of windows."""
        return collate(self.data, self.windows, rows)

    def num_targets(self, batch: Batch) -> int:
        """Items to predict in the batch."""
        return int((batch.targets > 0).sum())

    def loss(self, batch: Batch) -> Tensor:
        """The configured loss, summed over the batch's targets."""
        batch = batch.to(self.device)
        real = batch.targets > 0
        targets = batch.targets[real]
        negatives = self.negatives(targets)
        used = self.items_in_use(negatives, batch.items, targets)
        states = self.module.states_with(used.vectors, used.numbers(batch.items))
        return self.data_loss(states[real], used, targets, negatives)

    def negatives(self, targets: Tensor) -> Negatives | None:
        """Draw those of a batch's targets; None where the loss is over the whole catalog.

        Several processes draw once for the targets of all.
        """
        if self.sampler is None:
            return None
        idle = self.processes.idle
        whole, start = self.processes.gather(targets[:0] if idle else targets)
        return self.sampler.draw(whole, self.processes.draws).of(0 if idle else start, len(targets))

    def items_in_use(self, negatives: Negatives | None, *items: Tensor) -> ItemsInUse:
        """All items for a loss over the whole catalog; else the negatives and those named."""
        if negatives is None:
            return self.module.whole_catalog()
        return self.module.in_use(negatives.items, *items)

    def data_loss(self, states: Tensor, used: ItemsInUse, targets: Tensor, negatives: Negatives | None) -> Tensor:
        """The configured loss of states (M, D) and their targets (M,), which are under the catalog's numbers."""
        if negatives is not None:
            negatives = replace(negatives, items=used.numbers(negatives.items))
        return training_loss(self.chosen_loss, states, used.vectors, used.numbers(targets), negatives)

    def validate(self) -> dict[str, float]:
        """Full-catalog metrics on validation, ranked as `evaluate` says."""
        scorer = student_sequence_scorer(self.module, self.data, self.device)
        return validation_metrics(scorer, self.data, self.evaluate, self.validation, self.processes)


def student_sequence_scorer(student: Student, data: PreparedData, device: str) -> StateScorer:
    """The student, put into evaluation mode, as a scorer of histories."""
    student.eval()
    return state_scorer(student, data, student.config.max_length, device)


def student_scorer(folder: Path, data: PreparedData, device: str) -> StateScorer:
    """The student saved in a finished step's folder, as a scorer.

    Raises:
        UserError: see :func:`recdistill.students.make.load_student`.
    """
    return student_sequence_scorer(load_student(folder).to(device), data, device)


def settled_loss(loss: LossConfig, num_items: int, folder: Path) -> None:
    """Say and record, in `loss.json`, what `auto` takes for a catalog of so many items; nothing where it is named."""
    if loss.name != "auto":
        return
    match loss.chosen(num_items):
        case CrossEntropy():
            taken: dict[str, object] = {"name": "cross_entropy"}
        case chosen:
            taken = {"name": "sampled_softmax"} | asdict(chosen.sampling)
    logger.info("loss: auto takes %s for %d items", taken["name"], num_items)
    write_json(folder / LOSS_FILE, {"items": num_items, "taken": taken})


def student_training(
    config: StudentConfig,
    data: PreparedData,
    seed: int,
    device: str,
    evaluate: EvaluateConfig,
    validation: Targets | None = None,
    processes: Processes = ALONE,
    titles: Tensor | None = None,
) -> StudentTraining:
    """An untrained student with everything `fit` needs; its first weights and its batches follow `seed`.

    With `titles`, whitened and fp32 (N + 1, W), its item vectors see them.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        student = make_student(config, data.num_items, titles, TITLE_WEIGHT).to(device)
    windows = training_windows(data, config.max_length, config.windows)
    return StudentTraining(
        student,
        data,
        windows,
        config.loss,
        config.train,
        seed,
        device,
        evaluate,
        validation,
        processes=processes,
    )


def train_student(
    config: RunConfig,
    data: PreparedData,
    context: RunContext,
    validation: Targets | None = None,
    titles: Tensor | None = None,
    titles_name: str = "",
) -> FitResult:
    """Train the configured student and write it to the context's folder, titles folded into its item vectors.

    Args:
        config: `student`, `evaluate` and `seed` are read.
        data: histories and split; validation chooses the weights, test is not looked at.
        context: its folder gets the student, `training.csv` and TensorBoard's files; training resumes from a
            checkpoint found there.
        validation: what is validated on; None: all validation targets.
        titles: fp32 (N + 1, W), whitened embeddings of the titles, which its item vectors see beside an ID embedding;
            None: they are ID embeddings alone.
        titles_name: names the titles, for the checkpoint.

    Raises:
        UserError: see :func:`recdistill.training.fit.fit`.
    """
    with context.profiler.phase("set-up"):
        training = student_training(
            config.student,
            data,
            config.seed,
            context.device,
            config.evaluate,
            validation,
            context.processes,
            titles,
        )
    settled_loss(config.student.loss, data.num_items, context.folder)
    made_from = (data.fingerprint, data.split_fingerprint, *deciding(config.evaluate).items())
    name = fingerprint("student", config.student, config.seed, *made_from, *([titles_name] if titles_name else []))
    who = "student" if titles is None else "titled student"
    result = fit(training, config.student.train, context, config.seed, name, who)
    with context.profiler.phase("write"):
        save_student(training.module, context.folder)
        discard_checkpoint(context.folder)
    return result
