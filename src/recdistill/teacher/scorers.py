"""The teacher as a scorer of histories."""

from functools import cached_property

import torch
from torch import Tensor

from recdistill.data.prepared import IntArray, Targets
from recdistill.parallel.processes import ALONE, Processes
from recdistill.teacher.teacher import Teacher


class TeacherScorer:
    """The teacher as a scorer of histories."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1), by as many prompts at a time as a language model can take."""
        windows = self.teacher.target_windows(Targets(users, positions))
        scores = torch.empty(len(windows), self.teacher.data.num_items + 1)
        size = self.teacher.read_batch
        for rows in self.teacher.reading_batches(windows, size):
            batch, _, found = self.teacher.predict(windows, rows, size)
            scores[torch.from_numpy(rows)[batch.target_prompts]] = found.float().cpu()
        return scores


class ReadOnce:
    """A scorer over fixed targets that keeps their states: several weights of their parts cost one reading.

    The head's own weights must be 1 while the states are read.

    Args:
        teacher: what reads.
        targets: the targets.
        processes: each reads every so many-th batch; all get all states.
    """

    def __init__(self, teacher: Teacher, targets: Targets, processes: Processes = ALONE) -> None:
        self.teacher, self.correction_weight, self.titles_weight = teacher, 1.0, 0.0
        windows = teacher.target_windows(targets)
        self.states = torch.zeros(len(windows), teacher.state_dim, device=teacher.device)
        for rows in processes.turns(teacher.reading_batches(windows, teacher.read_batch)):
            batch, states, _ = teacher.predict(windows, rows, teacher.read_batch)
            self.states[torch.from_numpy(rows).to(teacher.device)[batch.target_prompts]] = states
        if processes.size > 1:  # A state is 0 but in the process that read it.
            self.states = torch.from_numpy(processes.sum_array(self.states.cpu().numpy())).to(teacher.device)
        keys = zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
        self.row_of = {key: row for row, key in enumerate(keys)}

    @cached_property
    def has_parts(self) -> tuple[bool, bool]:
        """Whether the correction, and the titles, are part of any target's score: zeros are not, whatever their weight.

        An untrained correction is zero for all.
        """
        _, *parts = self.teacher.ranker.head.parts(self.states)
        correction, titles = (bool(part.any()) for part in parts)
        return correction, titles

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1) with the current weights."""
        keys = zip(users.tolist(), positions.tolist(), strict=True)
        states = self.states[[self.row_of[key] for key in keys]]
        ranker = self.teacher.ranker
        if ranker.head.residual:
            states = ranker.head.weigh(states, self.correction_weight, self.titles_weight)
        return ranker.scores(states)
