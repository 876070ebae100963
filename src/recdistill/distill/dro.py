"""The distributionally robust term of DLLM2Rec (Cui et al., RecSys 2024), which goes with any method."""

from torch import Tensor

from recdistill.distill.divergence import same_shape

PROPENSITY_POWER = 0.05


def propensities(train_item_counts: Tensor) -> Tensor:
    """p_j = ((pop_j + 1) / Σ_k (pop_k + 1))^0.05 of items 1..N: counts (N + 1,) → fp32 (N,)."""
    smoothed = train_item_counts[1:].double() + 1
    return ((smoothed / smoothed.sum()) ** PROPENSITY_POWER).float()


def dro_loss(scores: Tensor, targets: Tensor, propensity: Tensor, temperature: float) -> Tensor:
    """Distributionally robust term: Σ_s log(Σ_j e^{p_j ŷ_j²/β} - e^{p_t ŷ_t²/β} + e^{p_t (ŷ_t - 1)²/β}).

    The exponent of the target t is put in the place of its own entry, so nothing is subtracted after exponentiation.

    Args:
        scores: fp32 (M, N) of items 1..N.
        targets: int64 (M,) in 1..N.
        propensity: fp32 (N,).
        temperature: β.
    """
    same_shape(scores[:, 0], targets)
    own = (targets - 1).unsqueeze(1)  # (M, 1), as `gather` and `scatter` want it
    missed = propensity[own] * (scores.gather(1, own) - 1) ** 2
    exponents = (propensity * scores**2).scatter(1, own, missed)
    return (exponents / temperature).logsumexp(dim=1).sum()
