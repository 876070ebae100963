"""A student that torch runs, as it was trained: what answers where there is no bundle."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recdistill.evaluation.top_k import best_by_states
from recdistill.serving.engines import SCORE_MEMORY, FloatArray, LongArray, padded
from recdistill.students.base import Student


class TorchEngine:
    """See :class:`recdistill.serving.engines.Engine`; torch's own threads are the process's.

    Args:
        student: the trained student, on the CPU.
        score_memory: MiB of scores held at a time.
    """

    def __init__(self, student: Student, score_memory: int = SCORE_MEMORY) -> None:
        self.student, self.score_memory = student.eval(), score_memory
        self.num_items, self.max_length = student.num_items, student.config.max_length

    @property
    def item_vectors(self) -> FloatArray:
        """Item vectors (N + 1, D)."""
        return self.student.item_vectors().detach().numpy()

    def best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items."""
        seen = [torch.tensor(history, dtype=torch.int64) for history in histories] if exclude_seen else []
        rows = [torch.full_like(items, row) for row, items in enumerate(seen)]
        nothing = torch.zeros(0, dtype=torch.int64)
        hidden = torch.cat([nothing, *rows]), torch.cat([nothing, *seen])
        with torch.inference_mode():
            states, vectors = self.student.last_states(self._windows(histories)), self.student.item_vectors()
            scores, items = best_by_states(states, vectors, top_k, hidden, self.score_memory)
        return items.numpy(), scores.numpy()

    def states(self, histories: Sequence[Sequence[int]]) -> FloatArray:
        """States (B, D) after the histories."""
        with torch.inference_mode():
            return self.student.last_states(self._windows(histories)).numpy()

    def _windows(self, histories: Sequence[Sequence[int]]) -> Tensor:
        return torch.from_numpy(padded(histories, self.max_length))
