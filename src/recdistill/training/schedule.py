"""The learning rate over a run: a linear climb, then a cosine down."""

import math

from recdistill.config import TrainConfig


def learning_rate_factor(config: TrainConfig, progress: float) -> float:
    """The share of the peak learning rate at `progress` (0 to 1) of the run.

    It climbs from 0 to 1 over `warmup_fraction`, then follows half a cosine down to `final_fraction`.
    """
    warmup = config.warmup_fraction
    if progress < warmup:
        return progress / warmup
    done = min(1.0, (progress - warmup) / (1 - warmup))
    return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * done))
