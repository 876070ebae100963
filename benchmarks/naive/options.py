"""What makes a teacher slow, one switch a option, and the ablation on which they are given up one after another."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from recdistill.config import TeacherConfig


@dataclass(frozen=True)
class NaiveOptions:
    """One variant of the ablation; the defaults are the naive system."""

    padding: Literal["fixed", "bucketed", "packed"] = "fixed"
    """fixed: every prompt to one length. bucketed: to the longest of its batch. packed: end to end, without any."""
    experts: Literal["per_expert", "fused"] = "per_expert"
    """per_expert: a (B, T, E, out) tensor in every adapted layer. fused: the package's."""
    vocabulary_head: bool = True
    """Compute logits over the vocabulary at every token, as a causal language model does unless told otherwise."""
    tokenise_in_loop: bool = True
    """Tokenise a batch's titles when the batch is made, every time."""
    targets: Literal["last", "every"] = "last"
    """last: one target a prompt. every: a prediction after each item."""
    gate: Literal["instance", "causal"] = "instance"
    """instance: one set of expert weights a prompt. causal: one an item."""

    @property
    def leaks(self) -> bool:
        """Whether the gate has seen what is predicted: such a variant may be timed, never trained."""
        return self.targets == "every" and self.gate == "instance"


NAIVE = NaiveOptions()
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("naive", {}),
    ("bucketed", {"padding": "bucketed"}),
    ("packed", {"padding": "packed"}),
    ("fused_experts", {"experts": "fused"}),
    ("no_vocabulary_head", {"vocabulary_head": False}),
    ("cached_tokens", {"tokenise_in_loop": False}),
    ("every_target", {"targets": "every"}),
    ("causal_gate", {"gate": "causal"}),
)
"""The ablation: each variant's name, and the option it gives up beside all before it."""


def can_pack() -> bool:
    """Whether this version of the package packs prompts (`teacher.padding`)."""
    return "padding" in {field.name for field in fields(TeacherConfig)}


def ablation(packed: bool) -> dict[str, NaiveOptions]:
    """The variants by name, in the ablation's order; without `packed`, that one is left out, later ones bucketed."""
    variants, options = {}, NAIVE
    for name, given_up in STEPS:
        if name == "packed" and not packed:
            continue
        options = replace(options, **given_up)
        variants[name] = options
    return variants
