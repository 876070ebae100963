import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recdistill.config import LossConfig, StudentConfig
from recdistill.config.loss import CrossEntropy
from recdistill.errors import UserError
from recdistill.students import losses
from recdistill.students.losses import (
    bce,
    cross_entropy,
    gbce,
    sampled_softmax,
    training_loss,
)
from recdistill.students.negatives import Negatives, NegativeSampler, sample_negatives, shared_negatives


def problem(rows: int, items: int, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, dim, generator=generator).requires_grad_()
    vectors = torch.randn(items + 1, dim, generator=generator)
    vectors[0] = 0
    return states, vectors.requires_grad_(), torch.randint(1, items + 1, (rows,), generator=generator)


def whole(states: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(states @ vectors[1:].T, targets - 1, reduction="sum")


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), items=st.integers(1, 30), chunk=st.integers(1, 200), seed=st.integers(0, 99))
def test_chunks_give_value_and_gradients_of_the_whole(rows: int, items: int, chunk: int, seed: int) -> None:
    states, vectors, targets = problem(rows, items, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(losses.CHUNK_SCORES, "cpu", chunk)
        ours = cross_entropy(states, vectors, targets)
        got = gradients(3 * ours, states, vectors)
    expected = whole(states, vectors, targets)
    torch.testing.assert_close(ours, expected)
    for mine, theirs in zip(got, gradients(3 * expected, states, vectors), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gradcheck_in_double_precision() -> None:
    states, vectors, targets = problem(4, 3)
    assert torch.autograd.gradcheck(cross_entropy, (states.double(), vectors.double(), targets))


def test_by_hand() -> None:
    # Scores 0, ln 2, ln 5 of three items: shares 1/8, 2/8, 5/8.
    vectors = torch.tensor([[0.0], [0.0], [math.log(2)], [math.log(5)]])
    state = torch.tensor([[1.0]])
    for target, share in ((1, 1 / 8), (2, 2 / 8), (3, 5 / 8)):
        assert cross_entropy(state, vectors, torch.tensor([target])).item() == pytest.approx(-math.log(share))


def test_padding_row_takes_no_part() -> None:
    states, vectors, targets = problem(6, 4)
    (gradient,) = gradients(cross_entropy(states, vectors, targets), vectors)
    assert (gradient[0] == 0).all()
    with torch.no_grad():
        changed = vectors.clone()
        changed[0] = 1e3
    assert cross_entropy(states, changed, targets).item() == cross_entropy(states, vectors, targets).item()


def test_scores_too_large_to_exponentiate() -> None:
    states, vectors, targets = problem(6, 4)
    big = (states * 1e3).detach().requires_grad_()
    loss = cross_entropy(big, vectors, targets)
    torch.testing.assert_close(loss, whole(big, vectors, targets))
    assert all(torch.isfinite(gradient).all() for gradient in gradients(loss, big, vectors))


def test_half_precision_input_gives_fp32_loss_and_its_own_type_of_gradient() -> None:
    states, vectors, targets = problem(6, 4)
    half = states.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cross_entropy(half, vectors, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(whole(half.float(), vectors, targets).item(), rel=1e-6)
    assert gradients(loss, half)[0].dtype == torch.bfloat16


def test_frozen_vectors_get_no_gradient() -> None:
    states, vectors, targets = problem(3, 4)
    cross_entropy(states, vectors.detach(), targets).backward()
    assert states.grad is not None


@settings(max_examples=40, deadline=None)
@given(items=st.integers(2, 20), count=st.integers(1, 30), seed=st.integers(0, 99))
def test_negatives_are_items_and_never_the_target(items: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(1, items + 1, (7,), generator=generator)
    negatives = sample_negatives(targets, count, items, generator)
    assert negatives.shape == (7, count)
    assert negatives.min() >= 1
    assert negatives.max() <= items
    assert (negatives != targets.unsqueeze(1)).all()


def test_negatives_are_uniform() -> None:
    drawn = sample_negatives(torch.tensor([2]), 40_000, 4, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn.flatten(), minlength=5) / 40_000
    torch.testing.assert_close(shares, torch.tensor([0, 1, 0, 1, 1]) / 3, atol=0.01, rtol=0)


VECTORS = torch.tensor([[0.0], [1.0], [-1.0], [2.0], [0.5]])
STATE, TARGET = torch.tensor([[1.0]]), torch.tensor([1])
NEGATIVES = Negatives(torch.tensor([[2, 3]]), rate=2 / 3)


def drawn_loss(
    config: LossConfig, states: Tensor, vectors: Tensor, targets: Tensor, generator: torch.Generator
) -> Tensor:
    """The loss with negatives drawn from a catalog whose items are equally popular."""
    loss, negatives = config.chosen(len(vectors) - 1), None
    if not isinstance(loss, CrossEntropy):
        negatives = NegativeSampler(loss.sampling, torch.ones(len(vectors), dtype=torch.int64)).draw(targets, generator)
    return training_loss(loss, states, vectors, targets, negatives)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_sampled_softmax_by_hand() -> None:
    expected = -math.log(math.e / (math.e + math.exp(-1) + math.exp(2)))
    assert sampled_softmax(STATE, VECTORS, TARGET, NEGATIVES).item() == pytest.approx(expected)


def test_sampled_softmax_with_all_negatives_is_the_whole_catalog() -> None:
    negatives = Negatives(torch.tensor([[2, 3, 4]]), rate=1.0)
    expected = cross_entropy(STATE, VECTORS, TARGET).item()
    assert sampled_softmax(STATE, VECTORS, TARGET, negatives).item() == pytest.approx(expected)


def test_bce_by_hand() -> None:
    expected = -math.log(sigmoid(1)) - math.log(1 - sigmoid(-1)) - math.log(1 - sigmoid(2))
    assert bce(STATE, VECTORS, TARGET, NEGATIVES).item() == pytest.approx(expected)


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (1.0, 2 / 3), (0.75, 0.75)])
def test_gbce_by_hand(calibration: float, beta: float) -> None:
    # Two negatives of three possible: sampling rate a = 2/3; t = .75 gives a (.75 (1 - 1.5) + 1.5) = .75.
    expected = -beta * math.log(sigmoid(1)) - math.log(1 - sigmoid(-1)) - math.log(1 - sigmoid(2))
    assert gbce(STATE, VECTORS, TARGET, NEGATIVES, calibration).item() == pytest.approx(expected)


def test_shared_negatives_are_different_items_and_at_most_the_catalog() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [shared_negatives(3, 5, generator, torch.device("cpu")) for _ in range(200)]
    assert all(len(set(one.tolist())) == 3 for one in drawn)
    assert torch.bincount(torch.cat(drawn), minlength=6)[1:].min() > 90  # of 120 expected for each of five items
    assert sorted(shared_negatives(9, 5, generator, torch.device("cpu")).tolist()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("loss", [sampled_softmax, bce])
def test_shared_negatives_are_what_each_target_would_have_without_itself(loss: Callable[..., Tensor]) -> None:
    states, vectors, targets = problem(5, 6)
    targets = torch.tensor([2, 4, 1, 2, 6])
    shared = torch.tensor([2, 6, 3])
    together = loss(states, vectors, targets, Negatives(shared, rate=0.6))
    rows = [slice(row, row + 1) for row in range(5)]
    without = [Negatives(shared[shared != targets[row]], rate=0.6) for row in rows]
    apart = torch.stack(
        [loss(states[row], vectors, targets[row], some) for row, some in zip(rows, without, strict=True)]
    ).sum()
    torch.testing.assert_close(together, apart)
    for one, other in zip(gradients(together, states, vectors), gradients(apart, states, vectors), strict=True):
        torch.testing.assert_close(one, other)


def test_all_items_shared_are_the_whole_catalog() -> None:
    states, vectors, targets = problem(6, 9)
    config = LossConfig(name="sampled_softmax", negatives=50, shared=True)
    found = drawn_loss(config, states, vectors, targets, torch.Generator().manual_seed(1))
    torch.testing.assert_close(found, cross_entropy(states, vectors, targets))


def test_nothing_is_shared_where_nothing_is_sampled() -> None:
    with pytest.raises(UserError, match=r"student\.loss\.shared: cross_entropy samples no negatives"):
        StudentConfig(loss=LossConfig(shared=True))


@pytest.mark.parametrize("name", ["cross_entropy", "sampled_softmax", "gbce", "bce"])
def test_losses_are_sums_over_targets(name: str) -> None:
    states, vectors, targets = problem(6, 9)
    config = LossConfig(name=name, negatives=3)  # type: ignore[arg-type]
    together = drawn_loss(config, states, vectors, targets, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    apart = [drawn_loss(config, states[i : i + 1], vectors, targets[i : i + 1], generator).item() for i in range(6)]
    assert together.item() == pytest.approx(sum(apart), rel=1e-5)
    assert (gradients(together, vectors)[0][0] == 0).all()
