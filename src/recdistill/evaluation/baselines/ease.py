"""EASE: a linear model of all items on all others, in closed form (Steck, WWW 2019)."""

import numpy as np
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import LongArray, PreparedData
from recdistill.evaluation.baselines.recent import RecentItemsScorer
from recdistill.evaluation.baselines.together import TrainedPairs
from recdistill.evaluation.metrics import FloatArray

REGULARISATION = 500.0
"""λ of the squared weights: the best one of the paper for MovieLens-20M."""


class EaseScorer(RecentItemsScorer):
    """The score of an item is the sum of its weights from the history's items.

    The weights B minimise ‖X − XB‖² + λ‖B‖² with a diagonal of zeros, X users by items of train interactions, 1 where a
    user has an item (Steck, equations 4 to 8). An item without train interactions has weights of 0.
    """

    def __init__(self, data: PreparedData, config: EvaluateConfig, regularisation: float = REGULARISATION) -> None:
        self.weights = ease_weights(data, regularisation)
        super().__init__(data, config, self._sums, {"regularisation": regularisation})

    def _sums(self, items: LongArray) -> FloatArray:
        """Sums of these items' rows of weights, (N + 1,) float64."""
        scores = np.zeros(self.data.num_items + 1)
        scores[1:] = self.weights[torch.from_numpy(items - 1)].sum(dim=0).numpy()
        return scores


def ease_weights(data: PreparedData, regularisation: float) -> Tensor:
    """B (N, N) float32, from item (row) to item (column), each number less by one than the item's.

    With P = (XᵀX + λI)⁻¹, B is −P_ij / P_jj, and 0 on the diagonal. One matrix of 4·N² bytes holds XᵀX, its Cholesky
    factor, P and B in turn: LAPACK's potrf and potri write where they read, given that columns lie together, which
    the transpose of a symmetric matrix provides. The time grows with N³.

    Args:
        data: the histories.
        regularisation: λ, above 0.
    """
    matrix = torch.zeros(data.num_items, data.num_items)
    gram = matrix.numpy()
    for items, others, counts in TrainedPairs(data).together():
        gram[items - 1, others - 1] = counts
    matrix.diagonal().add_(regularisation)
    by_columns, failed = matrix.mT, torch.zeros((), dtype=torch.int32)
    torch.linalg.cholesky_ex(by_columns, check_errors=True, out=(by_columns, failed))
    torch.cholesky_inverse(by_columns, out=by_columns)
    matrix /= -matrix.diagonal().clone()  # divides each column by its own
    return matrix.fill_diagonal_(0)
