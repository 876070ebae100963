import torch

from recdistill.distill.selection import divergence_above, student_misses


def test_divergence_above_by_hand() -> None:
    teacher = torch.tensor([[3.0, 1.0], [3.0, 1.0], [3.0, 1.0]]).log()
    # KL is .130812 against even scores, 0 against its own, and .75 ln 3 - .25 ln 3 = .549306 against the reverse.
    student = torch.tensor([[5.0, 5.0], [9.0, 3.0], [1.0, 3.0]])
    student[1:] = student[1:].log()
    assert divergence_above(student, teacher, 0.13).tolist() == [True, False, True]
    assert divergence_above(student, teacher, 0.14).tolist() == [False, False, True]


def test_student_misses_by_hand() -> None:
    # Column 0 is the padding's and never counts.
    scores = torch.tensor([[99.0, 1.0, 4.0, 3.0, 2.0]]).expand(4, 5)
    targets = torch.tensor([1, 2, 3, 4])  # ranks 4, 1, 2, 3
    assert student_misses(scores, targets, 2).tolist() == [True, False, False, True]
    assert student_misses(scores, targets, 3).tolist() == [True, False, False, False]


def test_a_tie_counts_against_the_student_and_hidden_items_do_not() -> None:
    scores = torch.tensor([[0.0, 5.0, 5.0, -torch.inf], [0.0, 5.0, 4.0, -torch.inf]])
    assert student_misses(scores, torch.tensor([1, 1]), 1).tolist() == [True, False]
