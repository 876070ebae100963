import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recdistill.config import DistillConfig
from recdistill.distill.dllm2rec import (
    confidence_weights,
    consistency_weights,
    dro_loss,
    list_divergence,
    listwise_loss,
    position_weights,
    propensities,
    ranking_loss,
    ranking_weights,
    soft_label_loss,
    soft_target_excess,
)

INF = torch.inf


def close(actual: Tensor, wanted: list[list[float]] | list[float] | float, tolerance: float = 1e-5) -> bool:
    return torch.allclose(actual.double(), torch.tensor(wanted, dtype=torch.float64), atol=tolerance, rtol=0)


def test_position_weights_by_hand() -> None:
    # β = 1, K = 3: e^-1 = .367879, e^-2 = .135335, e^-3 = .049787; their sum .553002.
    assert close(position_weights(torch.ones(1, 3, dtype=torch.bool), 1.0), [[0.665241, 0.244728, 0.090031]])
    # β = 2, K = 2: e^-.5 = .606531, e^-1 = .367879; sum .974410.
    assert close(position_weights(torch.ones(1, 2, dtype=torch.bool), 2.0), [[0.622459, 0.377541]])


def test_position_weights_leave_empty_places_out() -> None:
    # e^-1 / (e^-1 + e^-2) = 1 / (1 + e^-1) = .731059.
    listed = torch.tensor([[True, True, False], [True, False, False]])
    assert close(position_weights(listed, 1.0), [[0.731059, 0.268941, 0.0], [1.0, 0.0, 0.0]])


def test_confidence_weights_by_hand() -> None:
    # Scores ln 6, ln 3, ln 1: probabilities 6 : 3 : 1, whatever is added to all scores.
    scores = torch.tensor([[6.0, 3.0, 1.0]]).log()
    assert close(confidence_weights(scores), [[0.6, 0.3, 0.1]])
    assert close(confidence_weights(scores + 500), [[0.6, 0.3, 0.1]], 1e-4)
    assert close(confidence_weights(torch.tensor([[6.0, 2.0, 0.0]]).log()), [[0.75, 0.25, 0.0]])


def test_consistency_weights_by_hand() -> None:
    teacher = torch.tensor([[5, 7, 9], [5, 7, 9], [5, 7, 0]])
    student = torch.tensor([[9, 1, 5], [1, 2, 3], [0, 7, 0]])
    # Row 1: 5 and 9 are shared. Row 2: none. Row 3: 7 is shared; the empty place 0 is not an item.
    assert close(consistency_weights(teacher, student), [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_the_weights_together_by_hand() -> None:
    config = DistillConfig(position_weight=0.3, confidence_weight=0.5, consistency_weight=0.1, position_temperature=2.0)
    items, scores = torch.tensor([[4, 2]]), torch.tensor([[3.0, 1.0]]).log()
    # w^p = (.622459, .377541), w^c = (.75, .25), w^o = (0, 1).
    # .3 w^p + .5 w^c + .1 w^o = (.561738, .338262); their sum is .9.
    together = ranking_weights(config, items, scores, torch.tensor([[2, 8]]))
    assert close(together, [[0.624153, 0.375847]])
    # Nothing shared: .3 w^p + .5 w^c = (.561738, .238262), sum .8.
    assert close(ranking_weights(config, items, scores, torch.tensor([[1, 8]])), [[0.702172, 0.297828]])
    assert close(ranking_weights(config, items, scores, None), [[0.702172, 0.297828]])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12), st.floats(0.1, 100))
def test_every_row_of_weights_sums_to_one_and_empty_places_weigh_nothing(
    seed: int, rows: int, k: int, spread: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.randn(rows, k, generator=generator) * spread).sort(dim=1, descending=True).values
    items = torch.rand(rows, 50, generator=generator).argsort(dim=1)[:, :k] + 1
    lengths = torch.randint(1, k + 1, (rows, 1), generator=generator)
    empty = torch.arange(k) >= lengths
    items, scores = items.masked_fill(empty, 0), scores.masked_fill(empty, -INF)
    student = torch.rand(rows, 50, generator=generator).argsort(dim=1)[:, :k] + 1
    weights = ranking_weights(DistillConfig(), items, scores, student)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(rows))
    assert (weights[empty] == 0).all()
    assert (weights[~empty] > 0).all()


def test_ranking_loss_by_hand() -> None:
    # σ(0) = 1/2, σ(ln 3) = 3/4: -(.25 ln .5 + .75 ln .75) = .173287 + .215762 = .389049.
    # Second row: -1 · ln σ(-ln 3) = -ln .25 = 1.386294.
    scores = torch.tensor([[0.0, math.log(3)], [-math.log(3), 8.0]])
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert close(ranking_loss(scores, weights), 0.389049 + 1.386294)


def test_ranking_loss_gradient_is_minus_w_times_one_minus_sigma() -> None:
    scores = torch.tensor([[0.0, math.log(3), -1e4, 1e4]], requires_grad=True)
    weights = torch.tensor([[0.4, 0.2, 0.3, 0.1]])
    loss = ranking_loss(scores, weights)
    loss.backward()
    assert torch.isfinite(loss)
    # 1 - σ: .5, .25, 1 and 0.
    assert scores.grad is not None
    assert close(scores.grad, [[-0.2, -0.05, -0.3, 0.0]])


def test_soft_label_loss_by_hand() -> None:
    # p = (.75, .25), q = (.5, .5): .75 ln 1.5 + .25 ln .5 = .304099 - .173287 = .130812.
    teacher, student = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[2.0, 2.0]])
    assert close(list_divergence(student, teacher), [0.130812])
    assert close(soft_label_loss(student, teacher, 1.0), 0.130812)
    # T = 2 on scores twice as large gives the same p and q, and T² = 4 times the loss.
    assert close(soft_label_loss(2 * student, 2 * teacher, 2.0), 0.523248)


def test_soft_labels_ignore_empty_places_whatever_the_student_scores_there() -> None:
    teacher = torch.tensor([[math.log(3), 0.0, -INF]])
    student = torch.tensor([[2.0, 2.0, 50.0]], requires_grad=True)
    loss = soft_label_loss(student, teacher, 1.0)
    loss.backward()
    assert close(loss.detach(), 0.130812)
    # The gradient is q - p on the list: (.5 - .75, .5 - .25), and 0 off it.
    assert student.grad is not None
    assert close(student.grad, [[-0.25, 0.25, 0.0]])


def test_equal_distributions_diverge_by_nothing_and_pull_nowhere() -> None:
    teacher = torch.tensor([[4.0, 1.0, -20.0]])
    student = (teacher + 7).requires_grad_()
    loss = soft_label_loss(student, teacher, 3.0)
    loss.backward()
    assert close(loss.detach(), 0.0)
    assert student.grad is not None
    assert close(student.grad, [[0.0, 0.0, 0.0]])


def test_extreme_scores_stay_finite() -> None:
    teacher = torch.tensor([[1e4, -1e4], [1e4, -1e4]])
    student = torch.tensor([[1e4, -1e4], [300.0, -300.0]], requires_grad=True)
    loss = soft_label_loss(student, teacher, 1.0)
    loss.backward()
    assert close(loss.detach(), 0.0)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_propensities_by_hand() -> None:
    # pop 0, 2, 6 → shares 1/11, 3/11, 7/11, to the power .05: .887004, .937098, .977655. Index 0 is the padding's.
    wanted = [(share / 11) ** 0.05 for share in (1, 3, 7)]
    assert close(propensities(torch.tensor([99, 0, 2, 6])), wanted)


def test_dro_loss_by_hand() -> None:
    # p = (1, .5, 1), β = 2, ŷ = (1, 2, 0), target 2: entries 1·1/2 = .5, .5·(2 - 1)²/2 = .25, 0.
    # log(e^.5 + e^.25 + 1) = log(1.648721 + 1.284025 + 1) = 1.369338.
    scores, propensity = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([1.0, 0.5, 1.0])
    assert close(dro_loss(scores, torch.tensor([2]), propensity, 2.0), 1.369338)
    # Target 1 of the same row: (1 - 1)² = 0; .5·4/2 = 1; 0: log(1 + e + 1) = log 4.718282 = 1.551445. Two rows add up.
    both = dro_loss(scores.expand(2, 3), torch.tensor([2, 1]), propensity, 2.0)
    assert close(both, 1.369338 + 1.551445)


def test_dro_loss_equals_the_paper_formula_and_survives_large_scores() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    targets, propensity = torch.tensor([1, 7, 3, 3, 2]), torch.rand(7, generator=generator, dtype=torch.float64)
    own = scores[torch.arange(5), targets - 1]
    p_own = propensity[targets - 1]
    formula = torch.log(
        (propensity * scores**2 / 0.7).exp().sum(dim=1)
        - (p_own * own**2 / 0.7).exp()
        + (p_own * (own - 1) ** 2 / 0.7).exp()
    )
    torch.testing.assert_close(dro_loss(scores, targets, propensity, 0.7), formula.sum())
    large = (scores.float() * 1e3).requires_grad_()
    loss = dro_loss(large, targets, propensity.float(), 0.7)
    loss.backward()
    assert torch.isfinite(loss)
    assert large.grad is not None
    assert torch.isfinite(large.grad).all()


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\) and \(4,\)"):
        ranking_loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(1, 3\)"):
        list_divergence(torch.zeros(4, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"\(4,\) and \(4, 1\)"):
        dro_loss(torch.zeros(4, 3), torch.ones(4, 1, dtype=torch.int64), torch.ones(3), 1.0)


def test_rows_do_not_mix() -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(6, 4, generator=generator)
    weights = torch.rand(6, 4, generator=generator)
    targets, propensity = torch.tensor([1, 2, 3, 4, 1, 2]), torch.rand(4, generator=generator)
    one_by_one = sum(ranking_loss(scores[i : i + 1], weights[i : i + 1]) for i in range(6))
    torch.testing.assert_close(ranking_loss(scores, weights), one_by_one)
    alone = sum(dro_loss(scores[i : i + 1], targets[i : i + 1], propensity, 1.0) for i in range(6))
    torch.testing.assert_close(dro_loss(scores, targets, propensity, 1.0), alone)


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
    found = plain + soft_target_excess(listed, own, teacher, 2.0)
    torch.testing.assert_close(found, wanted)


def test_soft_targets_ignore_empty_places_whatever_the_student_scores_there() -> None:
    teacher = torch.tensor([[1.0, -INF]])
    student = torch.tensor([[2.0, INF]], requires_grad=True)
    loss = soft_target_excess(student, torch.tensor([5.0]), teacher, 1.0)
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
