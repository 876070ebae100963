"""The control teacher: a second student of another seed in the language model's place.

Its score is the student's plus a weight times the second student's. It is trained by
:mod:`recdistill.training.second_student`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import LongArray, PreparedData
from recdistill.data.windows import Windows, collate, export_windows
from recdistill.evaluation.scorer import Scorer, sequence_scorer
from recdistill.measure.evidence import TokenCount
from recdistill.students.base import Student
from recdistill.teacher.predictions import PredictedKeys


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
    inputs_per_prompt = None

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
