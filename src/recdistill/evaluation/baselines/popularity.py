"""Popularity, counted in what is trained on."""

import torch
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData
from recdistill.evaluation.baselines.baseline import Settings


class PopularityScorer:
    """Every history gets the same scores: the items' train interactions."""

    def __init__(self, data: PreparedData) -> None:
        self.settings: Settings = {}
        self.scores = torch.from_numpy(data.train_item_counts()).double()

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Train interactions of all items, (B, N+1) float64."""
        return self.scores.expand(len(users), -1)
