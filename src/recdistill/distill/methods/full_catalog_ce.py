"""Soft targets: cross-entropy over the whole catalog against the teacher's list. Losses are SUMS over the rows."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recdistill.config.distill import FullCatalogCE
from recdistill.distill.divergence import same_shape
from recdistill.distill.methods.batch import ListBatch
from recdistill.students.losses import cross_entropy


def loss(method: FullCatalogCE, batch: ListBatch) -> Tensor:
    """The cross-entropy against the targets, turned into that against the teacher: scalar."""
    own_scores = (batch.states * nn.functional.embedding(batch.targets, batch.vectors)).sum(dim=1)
    excess = full_catalog_ce_excess(batch.student_scores, own_scores, batch.teacher_scores, method.temperature)
    return cross_entropy(batch.states, batch.vectors, batch.targets) + excess


def full_catalog_ce_excess(
    student_scores: Tensor, target_scores: Tensor, teacher_scores: Tensor, temperature: float
) -> Tensor:
    """What turns the cross-entropy against the targets into that against the teacher: Σ_s (ŷ_st - Σ_i p_si ŷ_si).

    With q the student's softmax over the whole catalog and p the teacher's over its list,
    -Σ_i p_i log q_i = (log Z - ŷ_t) + (ŷ_t - Σ_i p_i ŷ_i): the first is the plain cross-entropy, so that the whole
    catalog is summed over once for both. Unlike `topk_kl`, it also draws the list above all other items.

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
