"""GRU4Rec (Hidasi et al., ICLR 2016) with tied item vectors: a recurrent state after each item."""

from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.attention import at
from recdistill.students.base import Student


class GRU4Rec(Student):
    """A recurrent net reads left to right, so padding to the right never reaches a real state."""

    def __init__(
        self,
        config: StudentConfig,
        num_items: int,
        title_embeddings: Tensor | None = None,
        title_weight: float = 0.0,
    ) -> None:
        super().__init__(config, num_items, title_embeddings, title_weight)
        dim = config.embedding_dim
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.num_layers > 1 else 0.0
        self.gru = nn.GRU(dim, dim, num_layers=config.num_layers, batch_first=True, dropout=between)
        self.output = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def encode(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) → states (B, L, D)."""
        return self._read_out(self._hidden(vectors))

    def encode_at(self, vectors: Tensor, places: Tensor) -> Tensor:
        """The state (B, D) at one position of each history; the output layer is run there alone."""
        return self._read_out(at(self._hidden(vectors), places))

    def _hidden(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) to hidden states (B, L, D)."""
        hidden, _ = self.gru(self.dropout(vectors * self.config.embedding_dim**0.5))
        return hidden  # type: ignore[no-any-return]

    def _read_out(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D) to states."""
        return self.norm(self.output(self.dropout(hidden)))  # type: ignore[no-any-return]
