"""What no model can beat: of generated data, the rule that made it."""

import numpy as np
import torch
from torch import Tensor

from recdistill.config import PlantedConfig
from recdistill.data.planted import next_item_probabilities
from recdistill.data.prepared import IntArray, PreparedData, Targets

TIE_BREAK = 1e-9
"""The most by which chance raises a score of the oracle, relative to it."""


class OracleScorer:
    """Items by their true probability of coming next, for `data.source: planted`.

    Equally likely items, which are many, stand in an order drawn for each row, so that metrics equal their expectation
    over ties; otherwise every tie would count against the target. Rows are drawn from `(user, position)` and have the
    same order in whatever batch they come.
    """

    def __init__(self, data: PreparedData, config: PlantedConfig) -> None:
        self.data, self.config = data, config

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Probabilities of all items, (B, N+1) float64, but for a hair."""
        probabilities = next_item_probabilities(self.config, self.data, Targets(users, positions))
        rows = zip(users.tolist(), positions.tolist(), strict=True)
        chance = np.stack([np.random.default_rng(row).random(self.data.num_items + 1) for row in rows])
        return torch.from_numpy(probabilities * (1 + TIE_BREAK * chance))
