"""Windows that grow, read user by user: a capability of a teacher whose prompts are read by a language model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import LongArray, PreparedData
from recdistill.data.windows import Windows
from recdistill.measure.evidence import TokenCount
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.predictions import PredictedKeys
from recdistill.teacher.prompts import PromptBuilder
from recdistill.teacher.ranker import Ranker


class GrowingReader:
    """Reads each user's history once, item by item, with the keys and values of what was read kept.

    Args:
        ranker: the teacher's model.
        prompts: its prompts.
        data: the histories.
        history_length: most items of a prompt.
        read: counts what is read.
    """

    def __init__(
        self, ranker: Ranker, prompts: PromptBuilder, data: PreparedData, history_length: int, read: TokenCount
    ) -> None:
        self.ranker, self.prompts, self.data = ranker, prompts, data
        self.history_length, self.read = history_length, read

    def fits(self, windows: Windows) -> NDArray[np.bool_]:
        """Which windows show a history from its beginning, so that the next is the same and one item more."""
        fits: NDArray[np.bool_] = (windows.starts == 0) & (windows.lengths <= self.history_length)
        return fits

    @torch.inference_mode()
    def predict(self, windows: Windows, rows: LongArray) -> tuple[PredictedKeys, Tensor]:
        """Keys and user states (M, S) of windows that grow.

        Args:
            windows: each with one target.
            rows: windows of some users, all of which :meth:`fits`.
        """
        self.ranker.eval()
        chosen = windows.take(rows)
        users, places = np.unique(chosen.users, return_inverse=True)
        longest = np.zeros(len(users), dtype=np.int64)
        np.maximum.at(longest, places, chosen.lengths)
        histories = GrowingHistories(self.ranker, self.prompts, len(users), int(longest.max()), self.read)
        row_of = {
            (int(user), int(length)): row for row, (user, length) in enumerate(zip(places, chosen.lengths, strict=True))
        }
        states = torch.zeros(len(rows), self.ranker.head.state_dim, device=histories.device)
        for step in range(int(longest.max())):
            events = self.data.offsets[users] + step
            new = np.where(step < longest, self.data.items[np.minimum(events, len(self.data.items) - 1)], 0)
            found = histories.extend(torch.from_numpy(new.astype(np.int64)))
            wanted = [(place, row_of[place, step + 1]) for place in range(len(users)) if (place, step + 1) in row_of]
            if wanted:
                here, there = (torch.tensor(side, device=histories.device) for side in zip(*wanted, strict=True))
                states[there] = found[here]
        self.read.targets += len(rows)
        return PredictedKeys(torch.from_numpy(chosen.users), torch.from_numpy(chosen.ends)), states

    @torch.inference_mode()
    def scores(self, states: Tensor) -> Tensor:
        """The scores (M, N + 1) of user states (M, S)."""
        return self.ranker.scores(states)
