"""Plain losses on the teacher's list: soft labels, soft targets over the catalog, the list's order.

A list may be shorter than K: its empty places have score -inf, and weigh nothing. Losses are SUMS over the rows, as in
`students.losses`.
"""

import torch
from torch import Tensor
from torch.nn import functional


def topk_kl_loss(student_scores: Tensor, teacher_scores: Tensor, temperature: float) -> Tensor:
    """T² Σ_s KL(p ‖ q), p and q the softmax over the teacher's list of both models' scores divided by T, in nats.

    T² keeps the gradient's size when T is changed (Hinton et al. 2015, §2). (M, K) and (M, K) → scalar; every row must
    list an item.
    """
    return temperature**2 * list_divergence(student_scores, teacher_scores, temperature).sum()


def full_catalog_ce_excess(
    student_scores: Tensor, target_scores: Tensor, teacher_scores: Tensor, temperature: float
) -> Tensor:
    """What turns the cross-entropy against the targets into that against the teacher: Σ_s (ŷ_st - Σ_i p_si ŷ_si).

    With q the student's softmax over the whole catalog and p the teacher's over its list,
    -Σ_i p_i log q_i = (log Z - ŷ_t) + (ŷ_t - Σ_i p_i ŷ_i): the first is the plain cross-entropy, so that the whole
    catalog is summed over once for both. Unlike :func:`topk_kl_loss`, it also draws the list above all other items.

    Args:
        student_scores: (M, K), the student's of the teacher's items.
        target_scores: (M,), the student's of the targets.
        teacher_scores: (M, K), -inf in empty places.
        temperature: of the teacher.
    """
    same_shape(student_scores, teacher_scores)
    same_shape(student_scores[:, 0], target_scores)
    teacher = functional.softmax(teacher_scores / temperature, dim=1)
    listed = teacher_scores > -torch.inf
    return (target_scores - (teacher * torch.where(listed, student_scores, 0.0)).sum(dim=1)).sum()


def listwise_loss(student_scores: Tensor, teacher_scores: Tensor) -> Tensor:
    """-Σ_s log of the Plackett–Luce probability of the teacher's order, divided by the list's length (ListMLE).

    Xia et al. (ICML 2008): the list is drawn item by item without putting back, each in proportion to the exponential
    of its score. (M, K) and (M, K) → scalar; lists are ordered best first, empty places (-inf) at their ends.
    """
    same_shape(student_scores, teacher_scores)
    listed = teacher_scores > -torch.inf
    scores = student_scores.masked_fill(~listed, -torch.inf)
    rest = scores.flip(1).logcumsumexp(dim=1).flip(1)  # of each item and all behind it
    return (torch.where(listed, rest - scores, 0.0).sum(dim=1) / listed.sum(dim=1).clamp_min(1)).sum()


def list_divergence(student_scores: Tensor, teacher_scores: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p ‖ q) of each row in nats, both over the teacher's list: (M, K) and (M, K) → (M,)."""
    same_shape(student_scores, teacher_scores)
    listed = teacher_scores > -torch.inf
    teacher = functional.log_softmax(teacher_scores / temperature, dim=1)
    student = functional.log_softmax((student_scores / temperature).masked_fill(~listed, -torch.inf), dim=1)
    return (teacher.exp() * torch.where(listed, teacher - student, 0.0)).sum(dim=1)


def same_shape(first: Tensor, second: Tensor) -> None:
    """Refuse shapes that would broadcast to something nobody meant, as (B, 1) with (B,) does."""
    if first.shape != second.shape:
        raise ValueError(f"shapes differ: {tuple(first.shape)} and {tuple(second.shape)}")
