"""The weight of a correction beside the student's scores: chosen on validation from a short list."""

import logging
from collections.abc import Callable

logger = logging.getLogger("recdistill")

CORRECTION_WEIGHTS = (1.0, 0.25, 0.5, 0.75, 1.5)
"""Weights that validation chooses from; the first wins a tie."""


def choose_weight(validate: Callable[[float], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """The weight with the best NDCG@10, and its metrics; like the epoch, a choice that belongs to validation.

    Args:
        validate: metrics with a weight.
    """
    found = {weight: validate(weight) for weight in CORRECTION_WEIGHTS}
    best = max(CORRECTION_WEIGHTS, key=lambda weight: found[weight]["ndcg@10"])
    shown = {weight: round(metrics["ndcg@10"], 4) for weight, metrics in found.items()}
    logger.info("weight of the correction: %g, of %s", best, shown)
    return best, found[best]
