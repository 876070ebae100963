"""Items as tokens: the student's embedding and the title's, turned into one vector of the language model's width."""

import torch
from torch import Tensor, nn

from recdistill.teacher.whitening import have_titles


class SoftTokens(nn.Module):
    """Linear → GELU → Linear from the student's item embedding (iLoRA's projector), plus the title's own projection.

    The sum is brought to the typical length of the language model's word embeddings, times a learned scale, since a
    decoder reads vectors of other lengths poorly.

    Args:
        item_vectors: fp32 (N + 1, D), the frozen student's.
        title_vectors: fp32 (N + 1, W), whitened title embeddings.
        word_embeddings: (vocabulary, H), the language model's; only their typical length is used.
        id_dropout: in training, share of the tokens that are made of the title alone, of those whose item has one.
    """

    item_vectors: Tensor
    title_vectors: Tensor
    length: Tensor

    def __init__(
        self, item_vectors: Tensor, title_vectors: Tensor, word_embeddings: Tensor, id_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        hidden_dim = word_embeddings.shape[1]
        scale = item_vectors[1:].std().clamp_min(1e-6)
        self.register_buffer("item_vectors", (item_vectors / scale).detach().clone(), persistent=False)
        self.register_buffer("title_vectors", title_vectors.clone(), persistent=False)
        self.register_buffer("length", word_embeddings.detach().float().pow(2).mean().sqrt(), persistent=False)
        self.projector = nn.Sequential(
            nn.Linear(item_vectors.shape[1], hidden_dim), nn.GELU(), nn.Linear(hidden_dim, hidden_dim)
        )
        self.title_projection = nn.Linear(title_vectors.shape[1], hidden_dim, bias=False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, items: Tensor) -> Tensor:
        """Items (...) to vectors (..., H), fp32."""
        known = self.projector(self.item_vectors[items])
        if self.training and self.id_dropout > 0:
            shown = torch.rand(*items.shape, 1, device=known.device) >= self.id_dropout
            known = known * (shown | ~have_titles(self.title_vectors)[items].unsqueeze(-1))
        mixed = known + self.title_projection(self.title_vectors[items])
        unit = nn.functional.rms_norm(mixed, mixed.shape[-1:])
        return unit * (self.length * self.scale)
