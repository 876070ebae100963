"""`distill.weight: auto` and `distill.dropout: auto`: how hard the lists are learned, by how much of them is memory.

A teacher that has few events to learn from memorises its targets, and its lists name them. A student that is pressed to
such lists by a large weight, with its dropout taken back, memorises them a second time. How much of the lists is memory
is known before the student is trained: their NDCG@10 on training targets over that on validation targets
(:mod:`recdistill.distill.known_targets`). docs/experiments.md shows the data sets on which the limit was found.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recdistill.config import DistillConfig
from recdistill.files import read_json, write_json

logger = logging.getLogger("recdistill")

STRENGTH_FILE = "strength.json"
Known = Mapping[str, Mapping[str, Any]]
"""What lists know of their own targets, split by split (:func:`recdistill.distill.known_targets.known_targets`)."""

MOST_MEMORY = 3.0
"""Lists are mostly memory where their NDCG@10 on training targets is more than this many times that on validation."""
HARD: tuple[float, float | None] = (8.0, 0.1)
"""Weight and dropout where they are not."""
GENTLE: tuple[float, float | None] = (1.0, None)
"""And where they are, or where that cannot be told; None: the plain student's dropout."""


@dataclass(frozen=True)
class Strength:
    """How hard the lists are learned.

    Attributes:
        weight: λ_d.
        dropout: of the distilled student while training; None: the plain student's.
        train: NDCG@10 of the lists on training targets; None where there are none.
        validation: the same on validation targets.
        memory: the first over the second; None where one of them is missing or validation's is 0.
        limit: the most memory of lists that are learned hard.
        why: what decided, in words.
    """

    weight: float
    dropout: float | None
    train: float | None
    validation: float | None
    memory: float | None
    limit: float
    why: str

    def applied(self, config: DistillConfig) -> DistillConfig:
        """The settings with numbers in the place of `auto`."""
        return replace(config, weight=self.weight, dropout=self.dropout)


def settled(config: DistillConfig, folder: Path, known: Callable[[], Known]) -> DistillConfig:
    """The settings with nothing left `auto`: what is chosen is told, and kept in `folder` for a training that goes on.

    Args:
        config: the settings; where neither weight nor dropout is `auto` they are returned as they are.
        folder: of the distilled student.
        known: finds out what the lists know of their targets; called once.
    """
    if "auto" not in (config.weight, config.dropout):
        return config
    path = folder / STRENGTH_FILE
    if not path.is_file():
        write_json(path, asdict(choose_strength(config, known())))
    chosen = Strength(**read_json(path))
    dropout = "the student's" if chosen.dropout is None else f"{chosen.dropout:g}"
    logger.info("distill: weight %g, dropout %s, since %s", chosen.weight, dropout, chosen.why)
    return chosen.applied(config)


def choose_strength(config: DistillConfig, known: Known) -> Strength:
    """Decide what is `auto`; what is given stays as it is.

    Where the weight is given and no more than the gentle one, as in the control without lists, the dropout that belongs
    to it is the plain student's.
    """
    train, validation = (_ndcg(known, split) for split in ("train", "validation"))
    memory = train / validation if train is not None and validation else None
    weight, dropout = HARD if memory is not None and memory <= MOST_MEMORY else GENTLE
    why = _why(train, validation, memory)
    if config.weight != "auto":
        weight = config.weight
        if weight <= GENTLE[0]:
            dropout, why = GENTLE[1], f"distill.weight is {weight:g}"
    if config.dropout != "auto":
        dropout = config.dropout
    return Strength(weight, dropout, train, validation, memory, MOST_MEMORY, why)


def numbers(config: DistillConfig) -> tuple[float, float | None]:
    """Weight and dropout of settings in which nothing is left `auto`.

    Raises:
        ValueError: something is.
    """
    if config.weight == "auto" or config.dropout == "auto":
        raise ValueError("distill.weight and distill.dropout must be chosen first, see `settled`")
    return config.weight, config.dropout


def _ndcg(known: Known, split: str) -> float | None:
    return float(known[split]["ndcg@10"]) if split in known else None


def _why(train: float | None, validation: float | None, memory: float | None) -> str:
    if memory is None:
        return "how much of the lists is memory cannot be told: they name no validation target"
    relation = "more than" if memory > MOST_MEMORY else "not more than"
    return (
        f"the lists' NDCG@10 is {train:.3f} on training targets and {validation:.3f} on validation targets, "
        f"{relation} {MOST_MEMORY:g} times as much"
    )
