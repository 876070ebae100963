"""Training losses over the scores of flat, real targets; each returns the SUM, the caller divides by the count.

States are (M, D), item vectors (N + 1, D) with row 0 the padding's, targets int64 (M,) in 1..N. Half-precision input is
widened: scores, loss and the sums of gradients are fp32.
"""

from typing import Any, assert_never

import torch
from torch import Tensor, nn

from recdistill.config import LossConfig
from recdistill.config.loss import BCE, GBCE, CrossEntropy, SampledSoftmax, Sampling

CHUNK_SCORES = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Scores that `cross_entropy` holds at once. CPU: 2 MiB in fp32, so that a chunk stays in the cache from product to
product. GPU: 256 MiB, so that a chunk fills the device."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Σ_m -log softmax(states_m · item_vectorsᵀ)[target_m], with the gradients made beside the loss, chunk by chunk.

    The gradient of a row's scores is softmax minus one-hot; it is multiplied out while the chunk is still in the cache,
    so no (M, N) matrix outlives its chunk and the backward pass only scales what is already there.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, item_vectors: Tensor, targets: Tensor) -> Tensor:
        items = item_vectors[1:]
        rows = max(1, CHUNK_SCORES[states.device.type] // len(items))
        for_states, for_items = ctx.needs_input_grad[:2]
        grad_states = torch.empty_like(states) if for_states else None
        grad_items = torch.zeros_like(item_vectors) if for_items else None
        loss = states.new_zeros(())
        for start in range(0, len(states), rows):
            part, wanted = states[start : start + rows], (targets[start : start + rows] - 1).unsqueeze(1)
            log_shares = torch.log_softmax(part @ items.T, dim=1)
            loss -= log_shares.gather(1, wanted).sum()
            if not (for_states or for_items):
                continue
            gradient = log_shares.exp_()
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            if grad_states is not None:
                torch.mm(gradient, items, out=grad_states[start : start + rows])
            if grad_items is not None:
                grad_items[1:].addmm_(gradient.T, part)
        ctx.save_for_backward(grad_states, grad_items)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_states, grad_items = ctx.saved_tensors
        scale = grad_outputs[0]
        return (
            None if grad_states is None else grad_states * scale,
            None if grad_items is None else grad_items * scale,
            None,
        )


def wide(tensor: Tensor) -> Tensor:
    """At least fp32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def cross_entropy(states: Tensor, item_vectors: Tensor, targets: Tensor) -> Tensor:
    """Softmax cross-entropy over the whole catalog, in nats, never holding all scores at once.

    The memory beside the inputs is their gradients and one chunk of scores (`CHUNK_SCORES`), whatever M and N.
    """
    with torch.autocast(states.device.type, enabled=False):
        return _ChunkedCrossEntropy.apply(wide(states), wide(item_vectors), targets)  # type: ignore[no-any-return, no-untyped-call]


def sample_negatives(targets: Tensor, count: int, num_items: int, generator: torch.Generator) -> Tensor:
    """`count` uniform items for each target, never the target itself: int64 (M, count).

    Drawn on the generator's device, so that a seed gives the same items wherever the model runs.
    """
    draw = torch.randint(1, num_items, (len(targets), count), generator=generator).to(targets.device)
    # Drawn from N - 1 numbers; those from the target on move up by one, which skips it.
    return draw + (draw >= targets.unsqueeze(1)).long()


def shared_negatives(count: int, num_items: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """`count` different uniform items for a whole batch, all N where there are no more: int64 (count,)."""
    drawn = torch.randperm(num_items, generator=generator)[:count]
    return (drawn + 1).to(device)


def _scores(states: Tensor, item_vectors: Tensor, items: Tensor) -> Tensor:
    """Scores of chosen items: (M, C) items, or (C,) for all rows alike → (M, C)."""
    chosen = nn.functional.embedding(items, wide(item_vectors))
    if items.ndim == 1:
        return wide(states) @ chosen.T
    return torch.einsum("md,mcd->mc", wide(states), chosen)


def _negative_scores(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Scores (M, C) of the negatives; -inf where a shared one is the row's target, so that it takes no part."""
    scores = _scores(states, item_vectors, negatives)
    if negatives.ndim == 1:
        scores = scores.masked_fill(negatives == targets.unsqueeze(1), -torch.inf)
    return scores


def sampled_softmax(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Cross-entropy over the target and its negatives (M, C), or those shared by all targets (C,).

    As with SASRec's sampled softmax in Klenitskiy & Vasilev (RecSys 2023), scores enter as they are: without the
    log((N - 1) / C) on the negatives that would make their sum an estimate of the whole catalog's.
    """
    positive = _scores(states, item_vectors, targets.unsqueeze(1))
    scores = torch.cat([positive, _negative_scores(states, item_vectors, targets, negatives)], dim=1)
    return nn.functional.cross_entropy(scores, torch.zeros_like(targets), reduction="sum")


def bce(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """-log σ(s⁺) - Σ log(1 - σ(s⁻)) over the negatives, (M, C) or shared (C,); SASRec's loss with C = 1."""
    return gbce(states, item_vectors, targets, negatives, calibration=0.0)


def gbce(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Tensor, calibration: float) -> Tensor:
    """Generalised BCE, -β log σ(s⁺) - Σ log(1 - σ(s⁻)) (gSASRec: Petrov & Macdonald, RecSys 2023).

    With sampling rate a = C / (N - 1) and calibration t: β = a (t (1 - 1/a) + 1/a); t = 0 gives β = 1, plain BCE, and
    t = 1 gives β = a.
    """
    positive = _scores(states, item_vectors, targets.unsqueeze(1))
    negative = _negative_scores(states, item_vectors, targets, negatives)
    rate = min(1.0, negatives.shape[-1] / max(1, len(item_vectors) - 2))
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    return beta * nn.functional.softplus(-positive).sum() + nn.functional.softplus(negative).sum()


def training_loss(
    config: LossConfig, states: Tensor, item_vectors: Tensor, targets: Tensor, generator: torch.Generator
) -> Tensor:
    """The configured loss, summed over the targets; negatives are drawn from `generator`."""
    loss = config.chosen
    match loss:
        case CrossEntropy():
            return cross_entropy(states, item_vectors, targets)
        case SampledSoftmax():
            negatives = _negatives(loss.sampling, item_vectors, targets, generator)
            return sampled_softmax(states, item_vectors, targets, negatives)
        case GBCE():
            negatives = _negatives(loss.sampling, item_vectors, targets, generator)
            return gbce(states, item_vectors, targets, negatives, loss.calibration)
        case BCE():
            negatives = _negatives(loss.sampling, item_vectors, targets, generator)
            return bce(states, item_vectors, targets, negatives)
        case _:
            assert_never(loss)


def _negatives(sampling: Sampling, item_vectors: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Negatives of each target, (M, C), or of all of them, (C,)."""
    num_items = len(item_vectors) - 1
    if sampling.shared:
        return shared_negatives(sampling.negatives, num_items, generator, targets.device)
    return sample_negatives(targets, sampling.negatives, num_items, generator)
