"""Plain losses on the teacher's list, by hand."""

import math

import pytest
import torch

from by_hand import close
from recdistill.distill.divergence import list_divergence
from recdistill.distill.dro import dro_loss
from recdistill.distill.methods.dllm2rec import ranking_loss
from recdistill.distill.methods.full_catalog_ce import full_catalog_ce_excess
from recdistill.distill.methods.listwise import listwise_loss
from recdistill.distill.methods.topk_kl import topk_kl_loss

INF = torch.inf


def test_soft_label_loss_by_hand() -> None:
    # p = (.75, .25), q = (.5, .5): .75 ln 1.5 + .25 ln .5 = .304099 - .173287 = .130812.
    teacher, student = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[2.0, 2.0]])
    assert close(list_divergence(student, teacher), [0.130812])
    assert close(topk_kl_loss(student, teacher, 1.0), 0.130812)
    # T = 2 on scores twice as large gives the same p and q, and T² = 4 times the loss.
    assert close(topk_kl_loss(2 * student, 2 * teacher, 2.0), 0.523248)


def test_soft_labels_ignore_empty_places_whatever_the_student_scores_there() -> None:
    teacher = torch.tensor([[math.log(3), 0.0, -INF]])
    student = torch.tensor([[2.0, 2.0, 50.0]], requires_grad=True)
    loss = topk_kl_loss(student, teacher, 1.0)
    loss.backward()
    assert close(loss.detach(), 0.130812)
    # The gradient is q - p on the list: (.5 - .75, .5 - .25), and 0 off it.
    assert student.grad is not None
    assert close(student.grad, [[-0.25, 0.25, 0.0]])


def test_equal_distributions_diverge_by_nothing_and_pull_nowhere() -> None:
    teacher = torch.tensor([[4.0, 1.0, -20.0]])
    student = (teacher + 7).requires_grad_()
    loss = topk_kl_loss(student, teacher, 3.0)
    loss.backward()
    assert close(loss.detach(), 0.0)
    assert student.grad is not None
    assert close(student.grad, [[0.0, 0.0, 0.0]])


def test_extreme_scores_stay_finite() -> None:
    teacher = torch.tensor([[1e4, -1e4], [1e4, -1e4]])
    student = torch.tensor([[1e4, -1e4], [300.0, -300.0]], requires_grad=True)
    loss = topk_kl_loss(student, teacher, 1.0)
    loss.backward()
    assert close(loss.detach(), 0.0)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\) and \(4,\)"):
        ranking_loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(1, 3\)"):
        list_divergence(torch.zeros(4, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"\(4,\) and \(4, 1\)"):
        dro_loss(torch.zeros(4, 3), torch.ones(4, 1, dtype=torch.int64), torch.ones(3), 1.0)


def test_soft_targets_are_cross_entropy_over_the_whole_catalog() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 9, generator=generator)  # of items 1..9
    targets = torch.tensor([1, 5, 9, 2])
    items = torch.tensor([[3, 1, 2], [5, 6, 0], [7, 0, 0], [2, 9, 4]])
    teacher = torch.tensor([[2.0, 1.0, 0.5], [1.0, 0.0, -INF], [3.0, -INF, -INF], [0.0, 0.0, 0.0]])
    listed = scores.gather(1, (items - 1).clamp_min(0))
    own = scores.gather(1, targets.unsqueeze(1) - 1).squeeze(1)
    plain = torch.nn.functional.cross_entropy(scores, targets - 1, reduction="sum")
    p = torch.zeros(4, 9)
    for row in range(4):
        for place in range(3):
            if items[row, place]:
                total = sum(math.exp(one / 2) for one in teacher[row].tolist() if one > -INF)
                p[row, items[row, place] - 1] += math.exp(teacher[row, place].item() / 2) / total
    wanted = -(p * scores.log_softmax(dim=1)).sum()
    found = plain + full_catalog_ce_excess(listed, own, teacher, 2.0)
    torch.testing.assert_close(found, wanted)


def test_soft_targets_ignore_empty_places_whatever_the_student_scores_there() -> None:
    teacher = torch.tensor([[1.0, -INF]])
    student = torch.tensor([[2.0, INF]], requires_grad=True)
    loss = full_catalog_ce_excess(student, torch.tensor([5.0]), teacher, 1.0)
    loss.backward()
    assert close(loss.detach(), 3.0)
    assert student.grad is not None
    assert close(student.grad, [[-1.0, 0.0]])


def test_listwise_loss_by_hand() -> None:
    # Scores ln 3, ln 2, ln 1: the order's probability is 3/6 · 2/3 · 1 = 1/3; a third of its ln: ln 3 / 3 = .366204.
    teacher, student = torch.tensor([[9.0, 5.0, 1.0]]), torch.tensor([[3.0, 2.0, 1.0]]).log()
    assert close(listwise_loss(student, teacher), 0.366204)
    # The other way round: 1/6 · 2/5 · 1 = 1/15; ln 15 / 3 = .902683.
    assert close(listwise_loss(student.flip(1), teacher), 0.902683)
    # An empty place is no item: 3/5 · 1; ln(5/3) / 2 = .255413.
    short = torch.tensor([[9.0, 5.0, -INF]])
    assert close(listwise_loss(torch.tensor([[math.log(3), math.log(2), 70.0]]), short), 0.255413)


def test_listwise_gradient_is_finite_with_empty_places() -> None:
    student = torch.zeros(2, 3, requires_grad=True)
    listwise_loss(student, torch.tensor([[2.0, 1.0, -INF], [0.0, -INF, -INF]])).backward()
    # Row 1: -ln(1/2) / 2 → gradient (q - 1) / 2 = -.25, +.25. Row 2: one item, nothing to order.
    assert student.grad is not None
    assert close(student.grad, [[-0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])
