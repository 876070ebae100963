"""LiGR blocks (Borisyuk et al., 2025, arXiv 2502.03417), which eSASRec builds on (arXiv 2508.06450): gated residuals.

x ← x + σ(G₁ x) ⊙ attention(norm(x))
x ← x + σ(G₂ x) ⊙ W₃ (SiLU(W₁ y) ⊙ W₂ y),   y = norm(x)
"""

import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.attention import at, attention_at, causal_attention


class SwiGLU(nn.Module):
    """A feed-forward layer whose hidden units are gated (Shazeer, 2020): D → hidden → D, no biases."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_and_up, self.down = nn.Linear(dim, 2 * hidden, bias=False), nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) → (..., D)."""
        gate, up = self.gate_and_up(x).chunk(2, dim=-1)
        return self.down(nn.functional.silu(gate) * up)  # type: ignore[no-any-return]


class LiGRBlock(nn.Module):
    """Attention and SwiGLU on normalised input; how much of each is added, a gate reads from the input itself."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.heads, self.attention_dropout = config.num_heads, config.attention_dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = SwiGLU(dim, config.ffn_multiplier * dim)
        self.attention_gate, self.mlp_gate = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D), causal."""
        dropout = self.attention_dropout if self.training else 0.0
        return self._add(x, causal_attention(self.query_key_value(self.attention_norm(x)), self.heads, dropout))

    def at(self, x: Tensor, places: Tensor) -> Tensor:
        """As :meth:`forward`, at one position of each history: (B, L, D), int64 (B,) → (B, D)."""
        dropout = self.attention_dropout if self.training else 0.0
        mixed = attention_at(self.attention_norm(x), places, self.query_key_value, self.heads, dropout)
        return self._add(at(x, places), mixed)

    def _add(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + torch.sigmoid(self.attention_gate(x)) * self.dropout(self.output(mixed))
        return x + torch.sigmoid(self.mlp_gate(x)) * self.dropout(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]
