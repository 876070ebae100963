"""SASRec (Kang & McAuley 2018): causal self-attention over a user's items, pre-norm, tied with the output."""

import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.base import Student


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on normalised input and added to it."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D), causal."""
        batch, length, dim = x.shape
        qkv = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, D / heads)
        dropout = self.dropout if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        x = x + nn.functional.dropout(
            self.output(mixed.transpose(1, 2).reshape(batch, length, dim)), self.dropout, self.training
        )
        mlp: Tensor = self.mlp(self.mlp_norm(x))
        return x + mlp


class SASRec(Student):
    """Positions count from the first item that the model sees, so a state does not change as the history grows.

    Histories stand to the left and padding to the right, where causal attention never looks; no mask is needed.
    """

    def __init__(
        self,
        config: StudentConfig,
        num_items: int,
        title_embeddings: Tensor | None = None,
        title_weight: float = 0.0,
    ) -> None:
        super().__init__(config, num_items, title_embeddings, title_weight)
        self.positions = nn.Parameter(torch.randn(config.max_length, config.embedding_dim) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.embedding_dim, config.heads, config.dropout) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.embedding_dim)

    def encode(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) → states (B, L, D)."""
        scale = self.config.embedding_dim**0.5
        x = self.dropout(vectors * scale + self.positions[: vectors.shape[1]] * scale)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]
