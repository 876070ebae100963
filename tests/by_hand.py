"""Comparison with figures worked out by hand."""

import torch
from torch import Tensor


def close(actual: Tensor, wanted: list[list[float]] | list[float] | float, tolerance: float = 1e-5) -> bool:
    """Whether a tensor holds the figures, as far as they were written down."""
    return torch.allclose(actual.double(), torch.tensor(wanted, dtype=torch.float64), atol=tolerance, rtol=0)
