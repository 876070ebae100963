"""Soft labels: KL divergence over the teacher's list alone. Losses are SUMS over the rows."""

from torch import Tensor

from recdistill.config.distill import TopkKL
from recdistill.distill.divergence import list_divergence
from recdistill.distill.methods.batch import ListBatch


def loss(method: TopkKL, batch: ListBatch) -> Tensor:
    """:func:`topk_kl_loss` of a batch: scalar."""
    return topk_kl_loss(batch.student_scores, batch.teacher_scores, method.temperature)


def topk_kl_loss(student_scores: Tensor, teacher_scores: Tensor, temperature: float) -> Tensor:
    """T² Σ_s KL(p ‖ q), p and q the softmax over the teacher's list of both models' scores divided by T, in nats.

    T² keeps the gradient's size when T is changed (Hinton et al. 2015, §2). (M, K) and (M, K) → scalar; every row must
    list an item.
    """
    return temperature**2 * list_divergence(student_scores, teacher_scores, temperature).sum()
