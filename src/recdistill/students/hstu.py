"""HSTU blocks (Zhai et al., ICML 2024, arXiv 2402.17152, §3.1): attention by SiLU, gated, without a feed-forward layer.

    U, V, Q, K = SiLU(W norm(x));   A = SiLU(Q Kᵀ + bias(i - j)) / max_length, for j ≤ i
    x ← x + W' dropout(U ⊙ norm(A V))

The weights are not normalised over a history, so its strength stays in the sum. Of the paper's relative bias only the
positions' part is here: students know no times.
"""

import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.attention import at, up_to
from recdistill.students.base import INIT_STD


class HSTUBlock(nn.Module):
    """One block; `distance_bias` (max_length,) is learned, one weight for each distance, for all heads."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.heads, self.max_length = config.num_heads, config.max_length
        self.norm, self.mixed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.projection, self.output = nn.Linear(dim, 4 * dim), nn.Linear(dim, dim)
        self.distance_bias = nn.Parameter(torch.randn(config.max_length) * INIT_STD)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D), causal."""
        gate, value, query, key = nn.functional.silu(self.projection(self.norm(x))).chunk(4, dim=-1)
        weights = nn.functional.silu(self._heads(query) @ self._heads(key).mT + self._bias(x.shape[1]))
        mixed = (weights / self.max_length).tril() @ self._heads(value)  # (B, heads, L, D / heads)
        return self._add(x, gate, mixed.transpose(1, 2).flatten(2))

    def at(self, x: Tensor, places: Tensor) -> Tensor:
        """As :meth:`forward`, at one position of each history: (B, L, D), int64 (B,) → (B, D)."""
        gate, value, query, key = nn.functional.silu(self.projection(self.norm(x))).chunk(4, dim=-1)
        query = self._heads(at(query, places)[:, None])
        distances = (places[:, None] - torch.arange(x.shape[1], device=x.device)).clamp_min(0)
        bias = self.distance_bias[distances][:, None, None]
        weights = nn.functional.silu(query @ self._heads(key).mT + bias) / self.max_length
        mixed = (weights * up_to(places, x.shape[1])[:, None, None]) @ self._heads(value)  # (B, heads, 1, D / heads)
        return self._add(at(x, places), at(gate, places), mixed.flatten(1))

    def _add(self, x: Tensor, gate: Tensor, mixed: Tensor) -> Tensor:
        return x + self.output(self.dropout(gate * self.mixed_norm(mixed)))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, heads, L, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _bias(self, length: int) -> Tensor:
        """(L, L): the weight of the distance from each position back to each other; what lies ahead is masked later."""
        places = torch.arange(length, device=self.distance_bias.device)
        return self.distance_bias[(places[:, None] - places).clamp_min(0)]
