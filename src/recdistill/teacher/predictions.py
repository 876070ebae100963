"""What a teacher predicts for."""

from typing import NamedTuple

from torch import Tensor


class PredictedKeys(NamedTuple):
    """The keys of M predictions: integers (M,) each."""

    users: Tensor
    positions: Tensor
