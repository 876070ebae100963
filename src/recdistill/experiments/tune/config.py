"""Settings of a study; what it tries is in its space."""

from dataclasses import dataclass

from recdistill.config.rules import NOT_NEGATIVE, POSITIVE, check_ranges, setting


@dataclass(frozen=True)
class TuneConfig:
    """How many students are tried, and how soon a poor one is given up."""

    trials: int = setting(30, POSITIVE)
    """Students tried in all, those of earlier calls and draws that were refused counted."""
    startup: int = setting(8, NOT_NEGATIVE)
    """Trials drawn at random, and run to their end, before the sampler and the pruner learn from what there is."""
    prune_after: int = setting(15, NOT_NEGATIVE)
    """Epochs (validations) of each trial before it may be given up for being worse than the median at that epoch. With
    few, small batches win for starting fast."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "tune")
