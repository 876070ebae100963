import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import close
from recdistill.config import DLLM2RecConfig
from recdistill.distill.dro import dro_loss, propensities
from recdistill.distill.methods.dllm2rec import (
    confidence_weights,
    consistency_weights,
    position_weights,
    ranking_loss,
    ranking_weights,
)

INF = torch.inf


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
    config = DLLM2RecConfig(
        position_weight=0.3, confidence_weight=0.5, consistency_weight=0.1, position_temperature=2.0
    )
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
    weights = ranking_weights(DLLM2RecConfig(), items, scores, student)
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


def test_rows_do_not_mix() -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(6, 4, generator=generator)
    weights = torch.rand(6, 4, generator=generator)
    targets, propensity = torch.tensor([1, 2, 3, 4, 1, 2]), torch.rand(4, generator=generator)
    one_by_one = sum(ranking_loss(scores[i : i + 1], weights[i : i + 1]) for i in range(6))
    torch.testing.assert_close(ranking_loss(scores, weights), one_by_one)
    alone = sum(dro_loss(scores[i : i + 1], targets[i : i + 1], propensity, 1.0) for i in range(6))
    torch.testing.assert_close(dro_loss(scores, targets, propensity, 1.0), alone)
