"""DLLM2Rec (Cui et al., RecSys 2024, arXiv 2405.00338): weights and losses.

The student's score of item i for target s is ŷ_si. The teacher names its K best items for each target, and the student
is drawn to them by

    L_d = -Σ_s Σ_{i in the teacher's top-K} w_si log σ(ŷ_si),     w = γ_p w^p + γ_c w^c + γ_o w^o, normalised over K,

and the whole loss is L_rec + λ_d L_d. A list may be shorter than K: its empty places have item 0 and score -inf, and
weigh nothing. Weights are constants to the gradient. Losses are SUMS over the rows, as in `students.losses`.

L_d names no item to stay away from. The paper's L_rec, BCE, does; a softmax over the catalog does not change when all
scores rise together, while L_d falls, so with it part of L_d is won by a shift that changes no ranking.
"""

import torch
from torch import Tensor
from torch.nn import functional

from recdistill.config.distill import DLLM2RecConfig
from recdistill.distill.divergence import same_shape
from recdistill.distill.lists import best_items
from recdistill.distill.methods.batch import ListBatch


def loss(method: DLLM2RecConfig, batch: ListBatch) -> Tensor:
    """L_d of a batch, its weights from the teacher's list and the student's own: scalar."""
    own = best_items(batch.states, batch.vectors, batch.top_k) if method.consistency_weight > 0 else None
    weights = ranking_weights(method, batch.items, batch.teacher_scores, own)
    return ranking_loss(batch.student_scores, weights)


def ranking_weights(
    config: DLLM2RecConfig, teacher_items: Tensor, teacher_scores: Tensor, student_items: Tensor | None
) -> Tensor:
    """w: the weight of each item of the teacher's lists, (M, K); a row sums to 1.

    Args:
        config: γ_p, γ_c, γ_o and β.
        teacher_items: int64 (M, K), best first.
        teacher_scores: fp32 (M, K).
        student_items: int64 (M, K'), the student's own list; None where γ_o is 0.
    """
    listed = teacher_items > 0
    weights = config.position_weight * position_weights(listed, config.position_temperature)
    weights = weights + config.confidence_weight * confidence_weights(teacher_scores)
    if student_items is not None:
        weights = weights + config.consistency_weight * consistency_weights(teacher_items, student_items)
    return normalise(weights)


def normalise(weights: Tensor) -> Tensor:
    """Each row divided by its sum; a row of zeros stays."""
    return weights / weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def position_weights(listed: Tensor, temperature: float) -> Tensor:
    """w^p_r ∝ exp(-r / β) for the item at rank r = 1..K: bool (M, K) → fp32 (M, K)."""
    ranks = torch.arange(1, listed.shape[1] + 1, device=listed.device)
    return normalise(torch.exp(-ranks / temperature) * listed)


def confidence_weights(teacher_scores: Tensor) -> Tensor:
    """w^c_si ∝ exp(-d_si), d_si the distance of item i from what the teacher has in mind: fp32 (M, K) → (M, K).

    The paper's teacher writes a title, and d is the distance of the item's embedding from the written one. Ours scores
    items and writes nothing; its d is -log p(i | s), p the softmax of its scores: 0 for an item it is certain of, and
    larger the less it believes in an item, in the very order of its list. Then exp(-d) is the probability itself, and
    normalising over K cancels the items outside the list.
    """
    return normalise(torch.exp(teacher_scores - teacher_scores.amax(dim=1, keepdim=True).clamp_min(-1e30)))


def consistency_weights(teacher_items: Tensor, student_items: Tensor) -> Tensor:
    """w^o_si ∝ 1 where item i stands in both lists, 0 elsewhere: int64 (M, K) and (M, K') → fp32 (M, K)."""
    shared = (teacher_items.unsqueeze(2) == student_items.unsqueeze(1)).any(dim=2)
    return normalise((shared & (teacher_items > 0)).float())


def ranking_loss(student_scores: Tensor, weights: Tensor) -> Tensor:
    """L_d = -Σ w log σ(ŷ) over the student's scores of the teacher's items: (M, K) and (M, K) → scalar."""
    same_shape(student_scores, weights)
    return -(weights * functional.logsigmoid(student_scores)).sum()
