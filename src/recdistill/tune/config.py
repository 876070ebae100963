"""Settings of a study; what it tries stands in its space."""

from dataclasses import dataclass

from recdistill.config import not_negative, positive


@dataclass(frozen=True)
class TuneConfig:
    """How many students are tried, and how soon a poor one is given up."""

    trials: int = 30
    """Students tried in all, those of earlier calls and draws that were refused counted."""
    startup: int = 8
    """Trials drawn at random, and run to their end, before the sampler and the pruner learn from what there is."""
    prune_after: int = 15
    """Epochs (validations) of each trial before it may be given up for being worse than the median at that epoch. With
    few, small batches win for starting fast."""

    def __post_init__(self) -> None:
        """Check ranges."""
        positive(self, "tune", "trials")
        not_negative(self, "tune", "startup", "prune_after")
