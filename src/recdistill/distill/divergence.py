"""How far a student's scores of the teacher's list are from the teacher's. Empty places have score
-inf, and weigh nothing.
"""

import torch
from torch import Tensor
from torch.nn import functional


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
