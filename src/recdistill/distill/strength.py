"""`distill.weight: auto` and `distill.dropout: auto`: how hard the teacher's lists are learned, by events an item.

Where items are seen often, lists that weigh much and a dropout of .1 give the better student. Where they are seen
seldom, such a student is at its best after few epochs and overfits from there. docs/experiments/strength.md shows the
data sets on which the limit was found.
"""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from recdistill.config import DistillConfig
from recdistill.storage.files import write_json
from recdistill.storage.kept_files import is_kept, keep
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

STRENGTH_FILE = "strength.json"
MANY_EVENTS = 25.0
"""Training interactions an item from which on lists are learned hard."""
HARD: tuple[float, float | None] = (8.0, 0.1)
"""Weight and dropout there."""
GENTLE: tuple[float, float | None] = (1.0, None)
"""And below; None: the plain student's dropout."""


@dataclass(frozen=True)
class Strength:
    """How hard the lists are learned.

    Attributes:
        weight: λ_d.
        dropout: of the distilled student while training; None: the plain student's.
        events_per_item: training interactions an item of the catalog.
        limit: from how many on lists are learned hard.
        why: what decided, in words.
    """

    weight: float
    dropout: float | None
    events_per_item: float
    limit: float
    why: str

    def applied(self, config: DistillConfig) -> DistillConfig:
        """The settings with numbers in the place of `auto`."""
        return replace(config, weight=self.weight, dropout=self.dropout)


def settled(config: DistillConfig, events_per_item: float, folder: Path) -> DistillConfig:
    """The settings with nothing left `auto`: what is chosen is told, and kept in `folder` for a training that resumes.

    Args:
        config: the settings; where neither weight nor dropout is `auto` they are returned as they are.
        events_per_item: training interactions an item of the catalog.
        folder: of the distilled student.
    """
    if "auto" not in (config.weight, config.dropout):
        return config
    path = folder / STRENGTH_FILE
    if not is_kept(path):
        write_json(path, asdict(choose_strength(config, events_per_item)))
        keep(path)
    chosen = read_typed(path, Strength)
    dropout = "the student's" if chosen.dropout is None else f"{chosen.dropout:g}"
    logger.info("distill: weight %g, dropout %s, since %s", chosen.weight, dropout, chosen.why)
    return chosen.applied(config)


def choose_strength(config: DistillConfig, events_per_item: float) -> Strength:
    """Decide what is `auto`; what is given stays as it is.

    Where the weight is given and no more than the gentle one, as in the control without lists, the dropout that belongs
    to it is the plain student's.
    """
    many = events_per_item >= MANY_EVENTS
    weight, dropout = HARD if many else GENTLE
    limit = f"{MANY_EVENTS:g} or more" if many else f"fewer than {MANY_EVENTS:g}"
    why = f"an item has {events_per_item:.1f} training interactions on average, {limit}"
    if config.weight != "auto":
        weight = config.weight
        if weight <= GENTLE[0]:
            dropout, why = GENTLE[1], f"distill.weight is {weight:g}"
    if config.dropout != "auto":
        dropout = config.dropout
    return Strength(weight, dropout, events_per_item, MANY_EVENTS, why)


def numbers(config: DistillConfig) -> tuple[float, float | None]:
    """Weight and dropout of settings in which nothing is left `auto`.

    Raises:
        ValueError: something is.
    """
    if config.weight == "auto" or config.dropout == "auto":
        raise ValueError("distill.weight and distill.dropout must be chosen first, see `settled`")
    return config.weight, config.dropout
