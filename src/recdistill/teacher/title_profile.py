"""What a history's titles say without anything learned: their mean, the latest weighing most."""

import torch
from torch import Tensor


def decayed_mean(vectors: Tensor, items: Tensor, decay: float) -> Tensor:
    """After each item of a history, the mean of the vectors up to it, each weighing `decay` to the power of its age.

    Args:
        vectors: fp32 (N + 1, W). That of an item without a title is zero, the middle of all titles.
        items: int64 (B, L), right padded with 0.
        decay: above 0, at most 1; the latest item has age 0.

    Returns:
        (B, L, W); at padding the values mean nothing.
    """
    steps = torch.arange(items.shape[1], device=items.device)
    ages = (steps.unsqueeze(1) - steps).clamp_min(0)
    weights = (decay ** ages.to(vectors.dtype)).tril()
    shares: Tensor = weights / weights.sum(dim=1, keepdim=True)
    return shares @ vectors[items]
