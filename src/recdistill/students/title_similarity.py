"""What a history's titles say without anything learned: how like an item's title is to their mean, the latest most."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TitleSimilarity:
    """A part of a student's scores: item's title vector · decayed mean of the history's, times a weight.

    The title vectors are the last columns of the student's item vectors, and the weighted mean stands behind its state,
    so that a score stays one inner product.

    Attributes:
        dim: width W of the title vectors.
        decay: an interaction of age a weighs decay^a; above 0, at most 1.
        weight: of this part beside the student's own scores.
    """

    dim: int
    decay: float
    weight: float


def decayed_mean(vectors: Tensor, decay: float) -> Tensor:
    """After each item of a history, the mean of the vectors up to it, each weighing `decay` to the power of its age.

    Args:
        vectors: fp32 (B, L, W), of the items of right-padded histories. That of an item without a title is zero, the
            middle of all titles.
        decay: above 0, at most 1; the latest item has age 0.

    Returns:
        (B, L, W); at padding the values mean nothing.
    """
    steps = torch.arange(vectors.shape[1], device=vectors.device)
    ages = (steps.unsqueeze(1) - steps).clamp_min(0)
    weights = (decay ** ages.to(vectors.dtype)).tril()
    shares: Tensor = weights / weights.sum(dim=1, keepdim=True)
    return shares @ vectors


def decayed_last(vectors: Tensor, items: Tensor, decay: float) -> Tensor:
    """As :func:`decayed_mean`, after the last item of each history alone: (B, W).

    Args:
        vectors: fp32 (N + 1, W), of all items.
        items: int64 (B, L), right padded with 0.
        decay: above 0, at most 1; the latest item has age 0.
    """
    lengths = (items > 0).sum(dim=1, keepdim=True)
    ages = lengths - 1 - torch.arange(items.shape[1], device=items.device)
    weights = (decay ** ages.clamp_min(0).to(vectors.dtype)) * (items > 0)
    mean: Tensor = torch.nn.functional.embedding_bag(
        items, vectors, per_sample_weights=weights / weights.sum(dim=1, keepdim=True), mode="sum"
    )
    return mean
