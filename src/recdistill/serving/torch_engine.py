"""A student that torch runs, as it was trained: what answers where there is no bundle."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recdistill.serving.engines import FloatArray, LongArray, best_of, padded
from recdistill.students.base import Student


class TorchEngine:
    """See :class:`recdistill.serving.engines.Engine`; torch's own threads are the process's.

    Args:
        student: the trained student, on the CPU.
    """

    def __init__(self, student: Student) -> None:
        self.student = student.eval()
        self.num_items, self.max_length = student.num_items, student.config.max_length

    @property
    def item_vectors(self) -> FloatArray:
        """Item vectors (N + 1, D)."""
        return self.student.item_vectors().detach().numpy()

    def best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items. All scores, 4·B·(N + 1) bytes, are held at once."""
        with torch.inference_mode():
            scores = self.student.last_scores(self._windows(histories)).numpy()
        if exclude_seen:
            for row, history in zip(scores, histories, strict=True):
                row[list(history)] = -float("inf")
        best = best_of(scores[:, 1:], top_k) + 1
        return best, scores[[[row] for row in range(len(scores))], best]

    def states(self, histories: Sequence[Sequence[int]]) -> FloatArray:
        """States (B, D) after the histories."""
        with torch.inference_mode():
            return self.student.last_states(self._windows(histories)).numpy()

    def _windows(self, histories: Sequence[Sequence[int]]) -> Tensor:
        return torch.from_numpy(padded(histories, self.max_length))
