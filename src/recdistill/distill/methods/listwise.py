"""The order of the teacher's list. Losses are SUMS over the rows."""

import torch
from torch import Tensor

from recdistill.config.distill import Listwise
from recdistill.distill.divergence import same_shape
from recdistill.distill.methods.batch import ListBatch


def loss(_: Listwise, batch: ListBatch) -> Tensor:
    """:func:`listwise_loss` of a batch: scalar."""
    return listwise_loss(batch.student_scores, batch.teacher_scores)


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
