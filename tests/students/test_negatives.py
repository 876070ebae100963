import pytest
import torch
from torch import Tensor

from recdistill.config import LossConfig, StudentConfig
from recdistill.config.loss import LARGE, WHOLE_CATALOG, CrossEntropy, Sampling
from recdistill.errors import UserError
from recdistill.students.base import Student
from recdistill.students.losses import gbce, sampled_softmax, training_loss
from recdistill.students.make import make_student
from recdistill.students.negatives import Negatives, NegativeSampler

COUNTS = torch.tensor([0, 9, 3, 4, 0, 8, 12, 5])
"""Seven items; one was never a target."""


def sampler(**settings: bool | int | float) -> NegativeSampler:
    return NegativeSampler(Sampling(**{"negatives": 4, "shared": True} | settings), COUNTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_items_are_drawn_in_proportion_to_a_power_of_their_counts(power: float) -> None:
    drawn = sampler(negatives=40_000, shared=False, popularity_power=power).draw(
        torch.tensor([1]), torch.Generator().manual_seed(0)
    )
    shares = torch.bincount(drawn.items.flatten(), minlength=8)[1:] / 40_000
    expected = COUNTS[1:].clamp_min(1).double() ** power
    torch.testing.assert_close(shares.double(), expected / expected.sum(), atol=0.01, rtol=0)


@pytest.mark.parametrize(("shared", "in_batch"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_corrected_draws_stand_for_the_whole_catalog(shared: bool, power: float, in_batch: bool) -> None:
    """The mean over draws of Σ e^s / expected is Σ e^s over all items but the target, whatever is drawn how."""
    own = sampler(negatives=5, shared=shared, popularity_power=power, in_batch=in_batch, log_q=True)
    scores = torch.tensor([-9.0, 0.5, 1.5, 1.0, 0.2, 0.0, 1.0, 0.7]).double().exp()
    generator, target, draws = torch.Generator().manual_seed(1), 5, 1500
    total = 0.0
    for _ in range(draws if shared else 1):
        others = torch.multinomial(COUNTS.double(), 2 if shared else draws - 1, replacement=True, generator=generator)
        targets = torch.cat([torch.tensor([target]), others]) if shared else torch.full((draws,), target)
        negatives = own.draw(targets, generator)
        assert negatives.log_expected is not None
        parts = scores[negatives.items] / negatives.log_expected.double().exp()
        total += float(parts[negatives.items != target].sum())
    whole = float(scores[1:].sum() - scores[target])
    assert total / draws == pytest.approx(whole, rel=0.04)


def test_the_targets_of_a_batch_are_negatives_of_one_another() -> None:
    targets = torch.tensor([4, 2, 4, 7])
    negatives = sampler(negatives=1, in_batch=True).draw(targets, torch.Generator().manual_seed(0))
    assert set(targets.tolist()) <= set(negatives.items.tolist())
    assert len(set(negatives.items.tolist())) == len(negatives.items) <= 4


def by_autograd(states: Tensor, vectors: Tensor, targets: Tensor, negatives: Negatives) -> Tensor:
    scores = states @ vectors[negatives.items].T
    if negatives.log_expected is not None:
        scores = scores - negatives.log_expected
    scores = scores.masked_fill(negatives.items == targets.unsqueeze(1), -torch.inf)
    own = (states * vectors[targets]).sum(dim=1, keepdim=True)
    return torch.nn.functional.cross_entropy(torch.cat([own, scores], 1), torch.zeros_like(targets), reduction="sum")


@pytest.mark.parametrize("corrected", [False, True])
def test_the_shared_softmax_and_its_gradients(corrected: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(5, 3, generator=generator).requires_grad_()
    vectors = torch.randn(8, 3, generator=generator).requires_grad_()
    targets = torch.tensor([5, 1, 2, 5, 7])
    negatives = Negatives(torch.tensor([2, 3, 5]), 0.5, torch.tensor([-1.0, -0.2, -2.0]) if corrected else None)
    ours, theirs = (loss(states, vectors, targets, negatives) for loss in (sampled_softmax, by_autograd))
    torch.testing.assert_close(ours, theirs)
    pairs = (torch.autograd.grad(2 * loss, (states, vectors)) for loss in (ours, theirs))
    for mine, other in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, other)


def test_corrected_gbce_is_in_the_mean_that_of_a_uniform_draw() -> None:
    rows = 4000
    states, vectors, targets = torch.ones(rows, 1), torch.linspace(-2, 2, 8).unsqueeze(1), torch.full((rows,), 3)
    generator = torch.Generator().manual_seed(0)
    skewed = sampler(negatives=3, shared=False, popularity_power=1.0, log_q=True)
    even = sampler(negatives=3, shared=False)
    means = [float(gbce(states, vectors, targets, own.draw(targets, generator), 0.5)) / rows for own in (skewed, even)]
    assert means[0] == pytest.approx(means[1], rel=0.05)


def student(titles: bool) -> Student:
    torch.manual_seed(0)
    embeddings = torch.randn(31, 6) if titles else None
    return make_student(StudentConfig(embedding_dim=8, max_length=4, dropout=0.0), 30, embeddings, float(titles))


@pytest.mark.parametrize("titles", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_part_of_the_catalog_gives_the_loss_and_the_gradients_of_the_whole(titles: bool, sparse: bool) -> None:
    items, targets = torch.tensor([[0, 3, 29], [7, 3, 3]]), torch.tensor([3, 11, 30])
    negatives = Negatives(torch.tensor([2, 11, 20]), 0.1, torch.tensor([-1.0, -2.0, -3.0]))
    found = []
    for part in (True, False):
        model = student(titles)
        model.items.sparse_gradients = sparse
        used = model.in_use(items, targets, negatives.items) if part else model.whole_catalog()
        assert len(used.vectors) == (8 if part else 31)
        states = model.states_with(used.vectors, used.numbers(items))[:, -1].repeat(2, 1)[:3]
        numbered = Negatives(used.numbers(negatives.items), 0.1, negatives.log_expected)
        loss = training_loss(LARGE, states, used.vectors, used.numbers(targets), numbered)
        loss.backward()
        gradient = model.items.ids.grad
        assert gradient is not None
        assert gradient.is_sparse == (sparse and part)
        others = [one.grad for name, one in model.named_parameters() if name != "items.ids" and one.grad is not None]
        found.append((loss.detach(), gradient.to_dense() if gradient.is_sparse else gradient, others))
    (loss, gradient, others), (whole_loss, whole_gradient, whole_others) = found
    torch.testing.assert_close(loss, whole_loss)
    torch.testing.assert_close(gradient, whole_gradient)
    for one, other in zip(others, whole_others, strict=True):
        torch.testing.assert_close(one, other)


def test_auto_takes_the_whole_catalog_while_it_is_small() -> None:
    auto = LossConfig(name="auto")
    assert isinstance(auto.chosen(WHOLE_CATALOG), CrossEntropy)
    assert auto.chosen(WHOLE_CATALOG + 1) == LARGE


def test_the_batch_is_taken_in_by_shared_negatives_alone() -> None:
    with pytest.raises(UserError, match=r"student\.loss\.in_batch: the targets of a batch are shared negatives"):
        StudentConfig(loss=LossConfig(name="gbce", in_batch=True))
