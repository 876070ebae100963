"""Which training targets are distilled where not all are: those on which a finished student has something to learn.

Pure functions to masks, bool (M,). The student asked is the tuned one of the run's `student` step, not the one in
training: the choice is made once, and stays.
"""

from torch import Tensor

from recdistill.distill.divergence import list_divergence


def divergence_above(student_scores: Tensor, teacher_scores: Tensor, threshold: float) -> Tensor:
    """Targets with KL(teacher ‖ student) above `threshold` nats; both scores are of the teacher's list, (M, K)."""
    return list_divergence(student_scores, teacher_scores) > threshold


def student_misses(student_scores: Tensor, targets: Tensor, top_k: int) -> Tensor:
    """Targets that `top_k` or more other items score as high as: scores (M, N + 1), targets int64 (M,).

    Ties count against the student, as they do in evaluation; items that must not be ranked have score -inf.
    """
    own = student_scores.gather(1, targets.unsqueeze(1))
    as_high = (student_scores[:, 1:] >= own).sum(dim=1) - 1
    return as_high >= top_k
