"""What the loss of a distillation method is made from."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ListBatch:
    """M targets that are distilled, with the teacher's lists.

    A list may be shorter than K: its empty places have item 0 and the teacher's score -inf.

    Attributes:
        states: (M, D), the student's.
        vectors: (N + 1, D), the student's item vectors; row 0 is the padding's.
        targets: int64 (M,) in 1..N.
        items: int64 (M, K), the teacher's, best first.
        teacher_scores: fp32 (M, K).
        student_scores: (M, K), the student's of the same items.
        top_k: length of the student's own list, where a method asks for one.
    """

    states: Tensor
    vectors: Tensor
    targets: Tensor
    items: Tensor
    teacher_scores: Tensor
    student_scores: Tensor
    top_k: int
