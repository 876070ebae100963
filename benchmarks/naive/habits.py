"""What makes a teacher slow, one switch a habit, and the road on which they are given up one after another."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from recdistill.config import TeacherConfig


@dataclass(frozen=True)
class Habits:
    """One arm of the road; the defaults are the naive system."""

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
        """Whether the gate has seen what is predicted: such an arm may be timed, never trained."""
        return self.targets == "every" and self.gate == "instance"


NAIVE = Habits()
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
"""The road: each arm's name, and the habit it gives up beside all before it."""


def can_pack() -> bool:
    """Whether this version of the package packs prompts (`teacher.padding`)."""
    return "padding" in {field.name for field in fields(TeacherConfig)}


def road(packed: bool) -> dict[str, Habits]:
    """The arms by name, in the road's order; without `packed`, that arm is left out and those after it are bucketed."""
    arms, habits = {}, NAIVE
    for name, given_up in STEPS:
        if name == "packed" and not packed:
            continue
        habits = replace(habits, **given_up)
        arms[name] = habits
    return arms
