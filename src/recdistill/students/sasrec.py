"""SASRec (Kang & McAuley, ICDM 2018): causal self-attention over a user's items, pre-norm, tied with the output."""

import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.base import INIT_STD, Student


class Block(nn.Module):
    """Attention, then a two-layer perceptron as wide as its input, each on normalised input and added to it.

    Attention weights see no dropout: on the CPU the fused kernel has none, and with the other one a whole training step
    takes a fifth longer.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D), causal."""
        projected = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each (B, heads, L, D / heads)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]


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
        dim = config.embedding_dim
        self.positions = nn.Parameter(torch.randn(config.max_length, dim) * INIT_STD)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(dim, config.heads, config.dropout) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def encode(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) → states (B, L, D)."""
        x = self.dropout(vectors + self.positions[: vectors.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]
