"""What stands beside the language model where a history is one stream: the student's and the titles' view of a window.

At each interaction the student reads the last `window` items, its own included, alone: so its state, and with it the
experts' gate and the student's part of a score, is what it is with a prompt of that window. The student is frozen, so
each state is computed once, in groups of users that are the same in every run, and kept.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.students.base import Student

GROUP = 32
"""Users whose states are computed together."""
ROWS = 256
"""Windows that the student reads at a time."""


class LastItems:
    """The last items before any interaction of some data.

    Args:
        student: the frozen student.
        items: int32 (interactions,), as :class:`recdistill.data.prepared.PreparedData` has them.
        offsets: int64 (users + 1,).
        window: items that are looked back on.
    """

    def __init__(self, student: Student, items: NDArray[np.int32], offsets: NDArray[np.int64], window: int) -> None:
        self.student, self.window = student, window
        self.items, self.offsets = items, offsets
        self.table: Tensor | None = None
        self.done = np.zeros(-(-(len(offsets) - 1) // GROUP), dtype=np.bool_)

    @torch.no_grad()
    def states(self, events: Tensor) -> Tensor:
        """The student's states after interactions.

        Args:
            events: int64 (B, L), their row numbers among all; -1 at padding, where a state means nothing.

        Returns:
            (B, L, D).
        """
        users = np.searchsorted(self.offsets, events[events >= 0].cpu().numpy(), side="right") - 1
        with torch.inference_mode(mode=False):  # they are kept for training, too
            for group in np.unique(users // GROUP):
                if not self.done[group]:
                    self._fill(int(group))
        if self.table is None:
            raise ValueError("there are no interactions to have states after")
        return self.table[events.clamp_min(0)]

    def before(self, events: Tensor) -> Tensor:
        """The window of each interaction (M,), its own item last: int64 (M, window), right padded with 0."""
        numbers = events.cpu().numpy()
        users = np.searchsorted(self.offsets, numbers, side="right") - 1
        starts = np.maximum(self.offsets[users], numbers - self.window + 1)
        places = starts[:, None] + np.arange(self.window)
        inside = places <= numbers[:, None]
        items = np.where(inside, self.items[np.minimum(places, len(self.items) - 1)], 0)
        return torch.from_numpy(items.astype(np.int64)).to(events.device)

    def _fill(self, group: int) -> None:
        """Compute the states of one group of users; the same calls whatever is asked for, so the same numbers."""
        bounds = self.offsets[group * GROUP : (group + 1) * GROUP + 1]
        device = self.student.item_vectors().device
        lengths = np.diff(bounds)
        width = int(min(self.window, lengths.max(initial=0)))
        if width:
            columns = np.arange(width)
            real = columns < np.minimum(lengths, self.window)[:, None]
            places = np.where(real, bounds[:-1, None] + columns, 0)
            first = torch.from_numpy(np.where(real, self.items[places], 0).astype(np.int64)).to(device)
            self._keep(places[real], self.student.states(first)[torch.from_numpy(real).to(device)])
        later = np.concatenate([np.arange(start + self.window, end) for start, end in pairwise(bounds)]).astype(
            np.int64
        )
        for some in np.split(later, range(ROWS, len(later), ROWS)):
            if len(some):
                self._keep(some, self.student.last_states(self.before(torch.from_numpy(some)).to(device)))
        self.done[group] = True

    def _keep(self, events: NDArray[np.int64], states: Tensor) -> None:
        if self.table is None:
            self.table = torch.zeros(len(self.items), states.shape[1], dtype=states.dtype, device=states.device)
        self.table[torch.from_numpy(events).to(states.device)] = states


def newest(items: Tensor, window: int) -> Tensor:
    """The last `window` items of right-padded histories (B, L): int64 (B, window or less), right padded."""
    lengths = (items > 0).sum(dim=1, keepdim=True)
    width = min(window, items.shape[1])
    places = (lengths - width).clamp_min(0) + torch.arange(width, device=items.device)
    return items.gather(1, places.clamp_max(items.shape[1] - 1)).masked_fill(places >= lengths, 0)
