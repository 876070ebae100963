"""Training losses over the scores of flat, real targets; each returns the SUM, the caller divides by the count.

States are (M, D), item vectors (N + 1, D) with row 0 the padding's, targets int64 (M,) in 1..N. Half-precision input is
widened: scores, loss and the sums of gradients are fp32.
"""

from typing import Any, assert_never

import torch
from torch import Tensor, nn

from recdistill.config.loss import BCE, GBCE, CrossEntropy, Loss, SampledSoftmax
from recdistill.students.negatives import Negatives

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


def _scores(states: Tensor, item_vectors: Tensor, items: Tensor) -> Tensor:
    """Scores of chosen items: (M, C) items, or (C,) for all rows alike → (M, C)."""
    chosen = nn.functional.embedding(items, wide(item_vectors))
    if items.ndim == 1:
        return wide(states) @ chosen.T
    return torch.einsum("md,mcd->mc", wide(states), chosen)


def _hits(targets: Tensor, negatives: Tensor) -> Tensor:
    """Where a negative is the row's own target: bool (M, C)."""
    return negatives == targets.unsqueeze(1)


class _SharedSoftmax(torch.autograd.Function):
    """Σ_m log(e^{p_m} + Σ_c e^{s_mc - b_c}) - p_m for negatives that all rows share, with its gradients beside it.

    As in :class:`_ChunkedCrossEntropy`, scores live for a chunk of rows; each is exponentiated once. A row's own target
    among the negatives takes no part.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, chosen: Tensor, bias: Tensor, positive: Tensor, hits: Tensor) -> Tensor:
        rows = max(1, CHUNK_SCORES[states.device.type] // max(1, len(chosen)))
        grad_states, grad_positive = torch.empty_like(states), torch.empty_like(positive)
        grad_chosen, loss = torch.zeros_like(chosen), states.new_zeros(())
        for start in range(0, len(states), rows):
            part = slice(start, start + rows)
            own = positive[part]
            scores = torch.addmm(bias, states[part], chosen.T).masked_fill_(hits[part], -torch.inf)
            top = torch.maximum(scores.amax(dim=1), own) if len(chosen) else own
            shares = scores.sub_(top.unsqueeze(1)).exp_()
            of_own = (own - top).exp()
            total = shares.sum(dim=1) + of_own
            loss += (total.log() + top - own).sum()
            shares.div_(total.unsqueeze(1))
            torch.mm(shares, chosen, out=grad_states[part])
            grad_chosen.addmm_(shares.T, states[part])
            grad_positive[part] = of_own / total - 1
        ctx.save_for_backward(grad_states, grad_chosen, grad_positive)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0]
        of_states, of_chosen, of_positive = (saved * scale for saved in ctx.saved_tensors)
        return of_states, of_chosen, None, of_positive, None


def sampled_softmax(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Negatives) -> Tensor:
    """Cross-entropy over the target and its negatives.

    Without the negatives' `log_expected`, scores enter as they are, as with SASRec's sampled softmax in Klenitskiy &
    Vasilev (RecSys 2023). With it, the negatives' sum estimates that of the whole catalog (the logQ correction).
    """
    items, expected = negatives.items, negatives.log_expected
    positive = _scores(states, item_vectors, targets.unsqueeze(1))
    if items.ndim == 1:
        chosen = nn.functional.embedding(items, wide(item_vectors))
        bias = chosen.new_zeros(len(items)) if expected is None else -expected.to(chosen.dtype)
        hits = _hits(targets, items)
        arguments = (wide(states), chosen, bias, positive.squeeze(1), hits)
        with torch.autocast(states.device.type, enabled=False):
            return _SharedSoftmax.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]
    scores = _scores(states, item_vectors, items)
    if expected is not None:
        scores = (scores - expected).masked_fill(_hits(targets, items), -torch.inf)
    scores = torch.cat([positive, scores], dim=1)
    return nn.functional.cross_entropy(scores, torch.zeros_like(targets), reduction="sum")


def bce(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Negatives) -> Tensor:
    """-log σ(s⁺) - Σ log(1 - σ(s⁻)) over the negatives; SASRec's loss with one for each target."""
    return gbce(states, item_vectors, targets, negatives, calibration=0.0)


def gbce(states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Negatives, calibration: float) -> Tensor:
    """Generalised BCE, -β log σ(s⁺) - Σ w log(1 - σ(s⁻)) (gSASRec: Petrov & Macdonald, RecSys 2023).

    With sampling rate a = C / (N - 1) and calibration t: β = a (t (1 - 1/a) + 1/a); t = 0 gives β = 1, plain BCE, and
    t = 1 gives β = a. The weights w are 1; with the negatives' `log_expected` they are a over the expected number,
    so that the sum is in the mean that of a uniform draw of as many.
    """
    positive = _scores(states, item_vectors, targets.unsqueeze(1))
    negative = nn.functional.softplus(_scores(states, item_vectors, negatives.items))
    rate = negatives.rate
    if negatives.log_expected is not None:
        negative = negative * (rate * (-negatives.log_expected).exp())
    negative = negative.masked_fill(_hits(targets, negatives.items), 0.0)
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    return beta * nn.functional.softplus(-positive).sum() + negative.sum()


def training_loss(
    loss: Loss, states: Tensor, item_vectors: Tensor, targets: Tensor, negatives: Negatives | None
) -> Tensor:
    """The chosen loss, summed over the targets; `negatives` are those of the batch, None for the whole catalog's."""
    if isinstance(loss, CrossEntropy):
        return cross_entropy(states, item_vectors, targets)
    if negatives is None:
        raise ValueError("a sampled loss needs negatives")
    match loss:
        case SampledSoftmax():
            return sampled_softmax(states, item_vectors, targets, negatives)
        case GBCE():
            return gbce(states, item_vectors, targets, negatives, loss.calibration)
        case BCE():
            return bce(states, item_vectors, targets, negatives)
        case _:
            assert_never(loss)
