"""Causal softmax attention in one fused kernel."""

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
