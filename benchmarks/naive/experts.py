"""LoRA experts as iLoRA's formula is read aloud: each expert's output, weighted, summed.

    ΔW x = (alpha / (R/E)) Σ_e ω_e B_e A_e x          x (B, T, in) → (B, T, E, R/E) → (B, T, E, out) → (B, T, out)

The parameters are those of the package's fused form, A (R, in) and B (out, R), seen as blocks, so that the two can be
compared weight for weight. The expert weights are a mutable global of the model, set before the forward pass.
"""

import torch
from torch import Tensor, nn


class ExpertWeights:
    """The expert weights of the current forward pass, (B or 1, T or 1, E)."""

    value: Tensor


class PerExpertLinear(nn.Module):
    """A frozen linear layer with E experts beside it.

    Args:
        base: the frozen layer.
        down: A of all experts, (R, in); expert e owns rows [e·R/E, (e + 1)·R/E).
        up: B of all experts, (out, R); the same columns.
        alpha: LoRA's alpha.
        dropout: on the adapter's input while training.
        weights: where the forward pass finds ω.
        experts: E.
    """

    def __init__(
        self,
        base: nn.Module,
        down: nn.Parameter,
        up: nn.Parameter,
        alpha: float,
        dropout: float,
        weights: ExpertWeights,
        experts: int,
    ) -> None:
        super().__init__()
        self.base, self.down, self.up = base, down, up
        self.dropout = nn.Dropout(dropout)
        self.scale, self.experts = alpha / (len(down) // experts), experts
        self.weights = weights

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, in) → (B, T, out)."""
        down = self.down.unflatten(0, (self.experts, -1))
        up = self.up.unflatten(1, (self.experts, -1))
        low = torch.einsum("bti,eri->bter", self.dropout(inputs), down)
        each = torch.einsum("bter,oer->bteo", low, up)
        delta: Tensor = (each * self.weights.value.unsqueeze(-1)).sum(dim=2)
        kept: Tensor = self.base(inputs)
        return kept + delta * self.scale
