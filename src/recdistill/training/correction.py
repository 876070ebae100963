"""Weights of what stands beside the student's scores: chosen on validation from short lists."""

import logging
from collections.abc import Callable

logger = logging.getLogger("recdistill")

CORRECTION_WEIGHTS = (1.0, 0.25, 0.5, 0.75, 1.5)
"""Weights that validation chooses from; the first wins a tie."""

TITLE_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 4.0)
"""The same for the inner product of title vectors, which are long when whitened: on MovieLens-latest-small .1 was best
beside a student, on planted data 1, where titles say nearly all (docs/experiments/synthetic.md)."""


def choose_weight(
    validate: Callable[[float], dict[str, float]],
    weights: tuple[float, ...] = CORRECTION_WEIGHTS,
    what: str = "correction",
) -> tuple[float, dict[str, float]]:
    """The weight with the best NDCG@10, and its metrics; like the epoch, a choice that belongs to validation.

    Args:
        validate: metrics with a weight.
        weights: to choose from; the first wins a tie.
        what: is weighed, for the log.
    """
    found = {weight: validate(weight) for weight in weights}
    best = max(weights, key=lambda weight: found[weight]["ndcg@10"])
    shown = ", ".join(f"{weight:g} {metrics['ndcg@10']:.4f}" for weight, metrics in found.items())
    logger.info("weight of the %s: %g; validation NDCG@10 by weight: %s", what, best, shown)
    return best, found[best]
