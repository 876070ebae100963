"""What all baselines have in common."""

from typing import Protocol, runtime_checkable

from recdistill.evaluation.scorer import Scorer

Settings = dict[str, int | float | None]
"""What a baseline was fitted with, as `metrics.json` records it."""


@runtime_checkable
class Baseline(Scorer, Protocol):
    """A scorer that is counted or solved in one go, from train interactions alone."""

    settings: Settings
