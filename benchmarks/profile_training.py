"""A student's training with its users' profiles as a second target, for benchmarks/profiles.py."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recdistill.data.windows import Batch
from recdistill.training.student import StudentTraining


class ProfileTraining(StudentTraining):
    """A student's training whose states also learn to point to their user's profile, through a map of the student's.

    The loss of each target gets weight · (1 - cos(map(state), profile)); users without a profile have none.

    Args:
        profiles: fp32 (U, P).
        weight: of this part.
        last: ask the state after each window's last input alone, as often as the window has targets.
        rest: as :class:`StudentTraining` has them.
    """

    def __init__(self, profiles: Tensor, weight: float, last: bool, *rest: Any, **named: Any) -> None:
        super().__init__(*rest, **named)
        self.profiles, self.weight, self.last = profiles, weight, last
        self.map = nn.Linear(self.module.config.embedding_dim, profiles.shape[1], bias=False)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            nn.init.xavier_uniform_(self.map.weight)
        self.module.profile_map = self.map  # a part of the model, so that it is trained and kept in checkpoints

    def loss(self, batch: Batch) -> Tensor:
        """The student's loss and the profiles', summed over the batch's targets."""
        batch = batch.to(self.device)
        real = batch.targets > 0
        targets = batch.targets[real]
        negatives = self.negatives(targets)
        used = self.items_in_use(negatives, batch.items, targets)
        states = self.module.states_with(used.vectors, used.numbers(batch.items))
        return self.data_loss(states[real], used, targets, negatives) + self.weight * self.profile_loss(states, batch)

    def profile_loss(self, states: Tensor, batch: Batch) -> Tensor:
        """The part of profiles, of states (B, L, D), without its weight."""
        real = batch.targets > 0
        if self.last:
            rows = torch.arange(len(real))
            apart = self.apart(states[rows, (batch.items > 0).sum(dim=1) - 1], batch.users)
            return (apart * real.sum(dim=1)).sum()
        return self.apart(states[real], batch.users.unsqueeze(1).expand_as(real)[real]).sum()

    def apart(self, states: Tensor, users: Tensor) -> Tensor:
        """1 - cosine of mapped states (M, D) and their users' profiles: (M,), 0 where there is no profile."""
        wanted = self.profiles[users]
        cosine = nn.functional.cosine_similarity(self.map(states), wanted, dim=1)
        return (1 - cosine) * (wanted != 0).any(dim=1)

    @torch.inference_mode()
    def cosine(self) -> float:
        """The mean cosine over users with a profile, after the last input of each one's last window."""
        self.module.eval()
        ends = np.flatnonzero(np.append(np.diff(self.windows.users) != 0, True))
        found = []
        for rows in np.array_split(ends, max(1, len(ends) // 256)):
            batch = self.collate(rows)
            states = self.module.states(batch.items)[torch.arange(len(rows)), (batch.items > 0).sum(dim=1) - 1]
            known = (self.profiles[batch.users] != 0).any(dim=1)
            found.append(1 - self.apart(states, batch.users)[known])
        return float(torch.cat(found).mean())
