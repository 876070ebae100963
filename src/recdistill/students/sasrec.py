"""SASRec (Kang & McAuley, ICDM 2018): causal self-attention over a user's items, pre-norm, tied with the output."""

import torch
from torch import Tensor, nn

from recdistill.config import StudentBlock, StudentConfig
from recdistill.students.attention import at, attention_at, causal_attention
from recdistill.students.base import INIT_STD, Student
from recdistill.students.hstu import HSTUBlock
from recdistill.students.ligr import LiGRBlock


class Block(nn.Module):
    """Attention, then a two-layer feed-forward layer, each on normalised input and added to it."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        dim, hidden = config.embedding_dim, config.ffn_multiplier * config.embedding_dim
        self.heads, self.attention_dropout = config.num_heads, config.attention_dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D), causal."""
        dropout = self.attention_dropout if self.training else 0.0
        mixed = causal_attention(self.query_key_value(self.attention_norm(x)), self.heads, dropout)
        return self._add(x, mixed)

    def at(self, x: Tensor, places: Tensor) -> Tensor:
        """As :meth:`forward`, at one position of each history: (B, L, D), int64 (B,) → (B, D)."""
        dropout = self.attention_dropout if self.training else 0.0
        mixed = attention_at(self.attention_norm(x), places, self.query_key_value, self.heads, dropout)
        return self._add(at(x, places), mixed)

    def _add(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(self.output(mixed))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))  # type: ignore[no-any-return]


BLOCKS: dict[StudentBlock, type[Block] | type[LiGRBlock] | type[HSTUBlock]] = {
    "sasrec": Block,
    "ligr": LiGRBlock,
    "hstu": HSTUBlock,
}


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
        self.blocks = nn.ModuleList(BLOCKS[config.block](config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def encode(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) → states (B, L, D)."""
        x = self._placed(vectors)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]

    def encode_at(self, vectors: Tensor, places: Tensor) -> Tensor:
        """The state (B, D) at one position of each history; the last block is run there alone."""
        x, blocks = self._placed(vectors), list(self.blocks)
        for block in blocks[:-1]:
            x = block(x)
        return self.norm(blocks[-1].at(x, places))  # type: ignore[no-any-return, operator]

    def _placed(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) with their positions."""
        return self.dropout(vectors + self.positions[: vectors.shape[1]])  # type: ignore[no-any-return]
