"""The gate: a student's view of a history decides how much each expert counts (iLoRA, §3.3)."""

from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from recdistill.config import GateConfig


class Gate(nn.Module):
    """ω = softmax(router(z)): user states (…, D) to expert weights (…, E) that sum to 1.

    The states are layer-normalised first, so that the router sees the same scale whichever student they come from.
    """

    def __init__(self, config: GateConfig, state_dim: int, experts: int) -> None:
        super().__init__()
        self.kind: Literal["none", "instance", "causal"] = config.kind
        self.experts = experts
        self.normalise = nn.LayerNorm(state_dim, elementwise_affine=False)
        self.router: nn.Module
        if config.router == "linear":
            self.router = nn.Linear(state_dim, experts)
        elif config.router == "mlp":
            hidden = config.hidden_dim
            self.router = nn.Sequential(nn.Linear(state_dim, hidden), nn.GELU(), nn.Linear(hidden, experts))
        else:
            assert_never(config.router)

    def forward(self, states: Tensor) -> Tensor:
        """Expert weights of each state: (…, D) → (…, E)."""
        return torch.softmax(self.router(self.normalise(states)), dim=-1)

    def per_history_step(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Weights for a prompt's tokens, by how many items of the history stand before the token's end.

        Args:
            states: (B, L, D), the student's state after each item, right padded.
            lengths: (B,), items in each history.

        Returns:
            (B, L + 1, E). With `causal`, entry t holds the weights from the first t items; entry 0 is the empty
            history's, from a state of zeros. With `instance`, every entry holds those of the whole history.
        """
        batch, steps, dim = states.shape
        if self.kind == "instance":
            last = states[torch.arange(batch, device=states.device), lengths - 1]
            weights: Tensor = self(last)
            return weights.unsqueeze(1).expand(batch, steps + 1, self.experts)
        if self.kind == "causal":
            from_the_start: Tensor = self(torch.cat([states.new_zeros(batch, 1, dim), states], dim=1))
            return from_the_start
        if self.kind == "none":
            raise ValueError("kind: none weighs no experts")
        assert_never(self.kind)
