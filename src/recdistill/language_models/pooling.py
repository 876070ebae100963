"""From the states of a text's tokens to one vector: the ways that sentence encoders are trained with.

Padding stands to the right, so a token's place is its column. The formulas are those of sentence-transformers.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-9
"""Below every sum of a mask that counts a token."""


def _first(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token's state."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, mask.int().argmax(dim=1)]


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last token's state."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, hidden.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)]


def _largest(hidden: Tensor, mask: Tensor) -> Tensor:
    """The largest entry of all tokens, in each dimension."""
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    real = mask.unsqueeze(-1)
    return (hidden * real).sum(dim=1) / real.sum(dim=1).clamp_min(SMALLEST)


def _mean_by_root(hidden: Tensor, mask: Tensor) -> Tensor:
    """The sum over the root of the number of tokens."""
    real = mask.unsqueeze(-1)
    return (hidden * real).sum(dim=1) / real.sum(dim=1).clamp_min(SMALLEST).sqrt()


def _weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The token at place p, counted from 1, weighs p (SGPT, arXiv 2202.08904)."""
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    weights = (mask * places).unsqueeze(-1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(SMALLEST)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _first,
    "max": _largest,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
"""Names as in `1_Pooling/config.json`."""


def pool(modes: tuple[str, ...], hidden: Tensor, mask: Tensor) -> Tensor:
    """One vector a text.

    Args:
        modes: names of :data:`POOLINGS`; several are put side by side.
        hidden: fp32 (B, T, H), the states of the tokens.
        mask: (B, T), 1 where a token counts; at least one a text.

    Returns:
        fp32 (B, H · modes).
    """
    return torch.cat([POOLINGS[mode](hidden, mask) for mode in modes], dim=1)
