"""Scores that are sums over a history's latest items, and how many of them count."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.evaluation.baselines.baseline import Settings
from recdistill.evaluation.metrics import FloatArray
from recdistill.evaluation.protocol import validation_metrics

LATEST = (None, 20, 10, 5, 3)
"""How many latest interactions may count; None: all, as in the papers."""
CHOICE_ROWS = 2000
"""Most validation targets, evenly spaced, that choose among them."""
TIE_BREAK = 1e-9
"""Popularity, relative to the most popular item's, adds less than this: it orders equal scores."""


class RecentItemsScorer:
    """An item's score is a sum over the different items among the latest interactions of a history.

    Published item-based models sum over the whole history. Where the next item is asked for, its end tells more, so
    validation chooses how much of it counts: NDCG@10 on at most :data:`CHOICE_ROWS` targets, the longer where equal,
    the whole history where there are no validation targets.

    Args:
        data: the histories.
        config: how validation is ranked.
        sums: different items of a history, ascending → scores of all items, (N + 1,) float64.
        settings: what the model was fitted with; `latest_events` is added.
    """

    def __init__(
        self, data: PreparedData, config: EvaluateConfig, sums: Callable[[LongArray], FloatArray], settings: Settings
    ) -> None:
        self.data, self.sums = data, sums
        popularity = data.train_item_counts()
        self.tie_break = TIE_BREAK * popularity / (popularity.max() + 1.0)
        self.latest: int | None = None
        self.latest = self._choose(config)
        self.settings = settings | {"latest_events": self.latest}

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Sums over the histories' latest items, (B, N+1) float64."""
        scores = np.empty((len(users), self.data.num_items + 1))
        for row, (user, position) in enumerate(zip(users.tolist(), positions.tolist(), strict=True)):
            history = self.data.history(user, position)
            latest = history if self.latest is None else history[-self.latest :]
            scores[row] = self.sums(np.unique(latest).astype(np.int64)) + self.tie_break
        return torch.from_numpy(scores)

    def _choose(self, config: EvaluateConfig) -> int | None:
        """How many latest interactions rank validation best."""
        targets = self.data.targets("validation")
        if not len(targets):
            return None
        rows = np.unique(np.linspace(0, len(targets) - 1, CHOICE_ROWS).round().astype(np.int64))
        some, quality = Targets(targets.users[rows], targets.positions[rows]), {}
        for latest in LATEST:
            self.latest = latest
            quality[latest] = validation_metrics(self, self.data, config, some)["ndcg@10"]
        return max(LATEST, key=lambda latest: quality[latest])
