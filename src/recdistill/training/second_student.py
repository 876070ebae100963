"""The control teacher: a second student of another seed in the language model's place.

Its score is the student's plus a weight times the second student's, the weight chosen on validation as the language
model's correction is. Two models of one kind rank better together than either, and a student taught by both is
regularised; what that alone brings must not be counted as the language model's knowledge.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.batches import Windows, collate, export_windows
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import LongArray, PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.evaluation.ranking import Scorer, sequence_scorer
from recdistill.language_models.title_lora import TUNING_FILE, load_tuning
from recdistill.language_models.title_tuning import tune_titles
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.evidence import TokenCount
from recdistill.storage.files import write_json
from recdistill.storage.typed import read_typed
from recdistill.students.base import Student
from recdistill.students.make import load_student
from recdistill.teacher.predictions import PredictedKeys
from recdistill.training.checkpoint import is_written, mark_written
from recdistill.training.correction import choose_weight
from recdistill.training.student import train_student

WEIGHT_FILE = "second_student.json"
SECOND_STREAM = 0x2ED
"""Tells the second student's seed from others that follow from the run's."""


class Weighed(TypedDict):
    """`second_student.json`: the weight of the second student's score, and the validation that chose it."""

    weight: float
    validation: dict[str, float]


class TwoStudents:
    """Two students as one teacher: user states and item vectors side by side. No cache serves them.

    Args:
        data: the histories.
        first: the student.
        second: the other one.
        weight: of the second one's scores.
        titles: fp32 (N + 1, H), title embeddings for the store, so that a student distilled from this teacher sees the
            same titles as one distilled from a language model.
        device: `cpu` or `cuda`.
    """

    growing = None

    def __init__(
        self, data: PreparedData, first: Student, second: Student, weight: float, titles: Tensor, device: str
    ) -> None:
        self.data, self.weight, self.device = data, weight, device
        self.students = [student.to(device).eval() for student in (first, second)]
        self.titles = titles
        self.window_length = first.config.max_length
        self.read = TokenCount()

    @property
    def state_dim(self) -> int:
        """Width S of the user states, both students' together."""
        return sum(student.config.embedding_dim for student in self.students)

    def export_windows(self) -> Windows:
        """Every training target once, then every validation target once."""
        return export_windows(self.data, self.window_length)

    def readers(self, windows: Windows) -> NDArray[np.int64]:
        """One reader for all windows."""
        return np.zeros(len(windows), dtype=np.int64)

    def prompt_lengths(self, windows: Windows) -> NDArray[np.int64]:
        """Items of each window."""
        return windows.lengths.astype(np.int64)

    @torch.inference_mode()
    def predict(
        self, windows: Windows, rows: LongArray, full_rows: int | None = None
    ) -> tuple[PredictedKeys, Tensor, Tensor]:
        """Keys, user states (M, S) and scores (M, N + 1) of all targets of these windows."""
        batch = collate(self.data, windows, rows)
        real = batch.targets > 0
        prompts, width = batch.items.shape
        self.read.add(int((batch.items > 0).sum()), prompts, width, prompts, int(real.sum()))
        keys = PredictedKeys(batch.users.unsqueeze(1).expand_as(real)[real], batch.positions[real] + 1)
        items, real = batch.items.to(self.device), real.to(self.device)
        states = [student.states(items)[real] for student in self.students]
        return keys, torch.cat(states, dim=1), self._add(states)

    def trial(self, windows: Windows, rows: LongArray) -> object:
        """Read a batch for its time: as :meth:`predict`, but it counts for nothing."""
        counted, self.read = self.read, TokenCount()
        try:
            return self.predict(windows, rows)
        finally:
            self.read = counted

    @torch.inference_mode()
    def last_scores(self, items: Tensor) -> Tensor:
        """Scores of all items after whole histories: (B, L) → (B, N + 1)."""
        return self._add([student.last_states(items) for student in self.students])

    def scorer(self) -> Scorer:
        """Both together as a scorer of histories."""
        return sequence_scorer(self.last_scores, self.data, self.window_length, self.device)

    def _add(self, states: list[Tensor]) -> Tensor:
        """The weighted sum of both scores."""
        first, second = (student.scores(own) for student, own in zip(self.students, states, strict=True))
        scores = first + self.weight * second
        scores[:, 0] = -torch.inf
        return scores


def second_seed(seed: int) -> int:
    """The second student's seed: not the next one, with which another run's first student may be trained."""
    return int(np.random.SeedSequence([seed, SECOND_STREAM]).generate_state(1)[0])


def train_second_student(config: RunConfig, data: PreparedData, student_folder: Path, context: RunContext) -> None:
    """Train a second student as the first was, from a seed of its own, and choose its weight on validation.

    One that was trained before the try ended is not trained again.

    Args:
        config: `student`, `evaluate` and `seed` are read.
        data: histories and split; test is not looked at.
        student_folder: the finished student step.
        context: its folder gets the second student, its weight and logs.
    """
    folder = context.folder
    with context.profiler.phase("tune titles"):
        tuning = tune_titles(config.teacher, data, config.seed, cache_folder(), context.device)
    if tuning is not None:
        tuning.save(folder / TUNING_FILE)
    if not is_written(folder):
        train_student(replace(config, seed=second_seed(config.seed)), data, context)
        mark_written(folder)
    two = TwoStudents(data, load_student(student_folder), load_student(folder), 1.0, torch.empty(0), context.device)

    def validate(weight: float) -> dict[str, float]:
        two.weight = weight
        return validation_metrics(two.scorer(), data, config.evaluate)

    with context.profiler.phase("validation"):
        weight, metrics = choose_weight(validate)
    write_json(folder / WEIGHT_FILE, {"weight": weight, "validation": metrics})


def load_second_student(
    config: RunConfig, data: PreparedData, student_folder: Path, folder: Path, device: str
) -> TwoStudents:
    """Both students of finished steps, with the title embeddings that a language model's export would hold."""
    titles = title_embeddings(config.teacher, data.texts, cache_folder(), device, load_tuning(folder))
    weight = read_typed(folder / WEIGHT_FILE, Weighed)["weight"]
    return TwoStudents(data, load_student(student_folder), load_student(folder), weight, titles, device)
