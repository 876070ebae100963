"""Causal softmax attention in one fused kernel, of all positions or of one of each history."""

import torch
from torch import Tensor, nn


def causal_attention(projected: Tensor, heads: int, dropout: float = 0.0) -> Tensor:
    """Mix values by softmax over the positions up to each one's own.

    Args:
        projected: (B, L, 3 D): queries, keys and values side by side.
        heads: heads; they divide D.
        dropout: share of the weights set to zero. On the CPU the fused kernel has none: above 0, all L × L weights
            are made, and a whole training step takes a fifth longer.

    Returns:
        (B, L, D).
    """
    shape = (*projected.shape[:2], 3, heads, -1)
    query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)  # each (B, heads, L, D / heads)
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


def attention_at(x: Tensor, places: Tensor, projection: nn.Linear, heads: int, dropout: float = 0.0) -> Tensor:
    """As :func:`causal_attention` at one position of each history, where only the keys and values of all are needed.

    Args:
        x: (B, L, D), not yet projected.
        places: int64 (B,), the position.
        projection: D → 3 D: queries, keys and values side by side.
        heads: heads; they divide D.
        dropout: share of the weights set to zero.

    Returns:
        (B, D).
    """
    rows, length, dim = x.shape
    queries, rest = projection.weight.split([dim, 2 * dim])
    query_bias, rest_bias = projection.bias.split([dim, 2 * dim])
    query = nn.functional.linear(at(x, places), queries, query_bias).view(rows, heads, 1, -1)
    shape = (rows, length, 2, heads, -1)
    key, value = nn.functional.linear(x, rest, rest_bias).view(shape).permute(2, 0, 3, 1, 4)
    mask = up_to(places, length)[:, None, None]
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return mixed.flatten(1)


def at(x: Tensor, places: Tensor) -> Tensor:
    """(B, L, ...) at one position of each row, int64 (B,): (B, ...)."""
    return x[torch.arange(len(x), device=x.device), places]


def up_to(places: Tensor, length: int) -> Tensor:
    """Bool (B, L): the positions up to each row's own."""
    return torch.arange(length, device=places.device) <= places[:, None]
