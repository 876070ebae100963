"""The variants of benchmarks/titles.py: what a student's item vectors see, by name."""

import argparse
from dataclasses import dataclass, replace
from typing import Any

from recdistill.config import DistillConfig, LossConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.config.teacher import Weights

READINGS: dict[str, tuple[Weights, bool]] = {
    "titles": ("pretrained", False),
    "shuffled": ("shuffled", False),
    "random": ("random", False),
    "tuned": ("pretrained", True),
    "tuned-shuffled": ("shuffled", True),
}
CONTROLS = {"titles": ("shuffled", "random"), "tuned": ("tuned-shuffled", "titles"), "tuned-shuffled": ("shuffled",)}
"""What a reading is set beside."""
SIMILARITY, PLUS = "similarity", "plus"


@dataclass(frozen=True)
class Variant:
    """What a student's item vectors see: `plain`, or `[encoder:]reading[@use]`."""

    reading: str
    encoder: str = ""
    use: str = ""

    @classmethod
    def of(cls, name: str, encoder: str) -> "Variant":
        """Take a name apart; `encoder` is that of names without one."""
        rest, _, use = name.partition("@")
        own, _, reading = rest.rpartition(":")
        if reading == "plain":
            return cls("plain")
        if reading not in READINGS:
            raise SystemExit(f"{name}: no such variant; one of plain, {', '.join(READINGS)}")
        return cls(reading, own or encoder, use)

    def controls(self, other: "Variant") -> bool:
        """Whether the other is this one but for one thing."""
        if other.reading == "plain" or self.reading == "plain":
            return self.reading != "plain"
        same = (self.reading == other.reading, self.encoder == other.encoder, self.use == other.use)
        if same == (False, True, True):
            return other.reading in CONTROLS.get(self.reading, ())
        return (same == (True, True, False) and not other.use) or same == (True, False, True)

    def config(self, seed: int, arguments: argparse.Namespace) -> RunConfig:
        """The settings of a run whose student takes the titles in so."""
        train = replace(
            StudentConfig().train,
            max_epochs=arguments.epochs,
            beta2=arguments.beta2,
            patience=0,
            validate_every=float(arguments.epochs),
        )
        changes: dict[str, Any] = {"embedding_weight": 1.0}
        dim = TeacherConfig().title_dim
        for use in filter(None, self.use.split(",")):
            if use in (SIMILARITY, PLUS):
                continue
            if use in ("start", "both"):
                changes |= {"start": "titles", "embedding_weight": float(use == "both")}
            elif use.startswith("ids"):
                changes["id_dropout"] = float(use[3:])
            elif use.startswith("weight"):
                changes["embedding_weight"] = float(use[6:])
            elif use.startswith("dim"):
                dim = int(use[3:])
            else:
                raise SystemExit(f"{use}: no way to take titles in")
        if self.reading == "plain":
            changes = {"embedding_weight": 0.0}
        return RunConfig(
            seed=seed,
            student=StudentConfig(loss=LossConfig(name=arguments.loss), train=train),
            teacher=TeacherConfig(title_dim=dim),
            distill=DistillConfig(weight=0.0, dropout=None, **changes),
        )


def without_plus(name: str) -> str:
    """The variant whose student `name` takes."""
    rest, _, use = name.partition("@")
    uses = [one for one in use.split(",") if one != PLUS]
    return "@".join(filter(None, [rest, ",".join(uses)]))
