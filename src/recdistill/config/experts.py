"""Settings of `teacher.gate` and `teacher.adapter`: the experts around the frozen layers, and how they are weighted."""

from dataclasses import dataclass
from typing import Literal

from recdistill.config.rules import FRACTION, POSITIVE, check_ranges, given, require, setting

GATED = given("teacher.gate.kind", "causal", "instance")


@dataclass(frozen=True)
class GateConfig:
    """The router: the student's user embedding → weights of the experts."""

    kind: Literal["none", "instance", "causal"] = setting("causal", evidence="gate")
    """none: plain LoRA. instance: one set of weights per prompt (iLoRA). causal: one per item, from the history so
    far."""
    router: Literal["linear", "mlp"] = setting("linear", read_with=GATED)
    """linear, or mlp: one hidden layer with GELU."""
    hidden_dim: int = setting(128, POSITIVE, read_with=(GATED, given("teacher.gate.router", "mlp")))
    """Width of the MLP router's hidden layer."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)


@dataclass(frozen=True)
class AdapterConfig:
    """Gated LoRA experts around frozen layers."""

    rank: int = setting(8, POSITIVE, evidence="adapter_rank")
    """Rank R of all experts together; a multiple of `experts`."""
    experts: int = setting(4, POSITIVE, read_with=GATED, evidence="experts")
    """Number of experts E; each owns R/E ranks."""
    alpha: float = setting(32.0, POSITIVE)
    """LoRA's alpha: with a uniform gate the adapter's output is scaled by alpha/R."""
    dropout: float = setting(0.1, FRACTION)
    """Dropout on the adapter's input while training."""
    layers: tuple[str, ...] = setting(("q_proj", "v_proj"), evidence="adapted")
    """Names of the linear layers that get adapters, in every block."""

    def check(self, prefix: str) -> None:
        """Check ranges, and that the ranks can be dealt to the experts; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
        require(bool(self.layers), f"{prefix}.layers", self.layers, "one name at least")
        rule = f"a multiple of {prefix}.experts ({self.experts})"
        require(self.rank % self.experts == 0, f"{prefix}.rank", self.rank, rule)
