"""Every variant of the speed benchmark computes what the package's teacher computes."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from naive.checks import computed, excite, largest_difference, single_targets
from naive.compose import load_tokenizer, make_training, share_frozen, widen
from naive.experts import ExpertWeights, PerExpertLinear
from naive.options import NAIVE, NaiveOptions, ablation, can_pack
from naive.training import NaiveTraining
from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import collate
from recdistill.training.teacher import TeacherTraining

LENGTH = 96
ROWS = np.array([0, 3, 7, 11, 20])
PACKAGE = NaiveOptions("bucketed", "fused", vocabulary_head=False, tokenise_in_loop=False)
Make = Callable[..., Any]


@pytest.fixture
def make(config: RunConfig, data: PreparedData, student_folder: Path) -> Make:
    def training(options: NaiveOptions, **settings: Any) -> Any:
        own = replace(config, teacher=replace(config.teacher, **settings))
        return make_training(own, options, data, student_folder, excite, LENGTH)

    return training


def test_the_ablation_gives_up_one_option_at_a_time() -> None:
    variants = list(ablation(packed=True).values())
    assert variants[0] == NAIVE
    assert variants[-1] == NaiveOptions("packed", "fused", False, False, "every", "causal")
    for before, after in pairwise(variants):
        assert sum(one != other for one, other in zip(vars(before).values(), vars(after).values(), strict=True)) == 1
    assert "packed" not in ablation(packed=False)
    assert [variant.leaks for variant in variants] == [False] * 6 + [True, False]


def test_naive_and_package_have_the_same_loss_states_and_gradients(make: Make) -> None:
    naive, package = make(NAIVE), make(PACKAGE)
    assert isinstance(naive, NaiveTraining)
    assert type(package) is TeacherTraining
    ours, theirs = package.collate(ROWS), naive.collate(ROWS)
    assert theirs.token_ids.shape == (len(ROWS), LENGTH)
    width = ours.token_ids.shape[1]
    for name in ("token_ids", "soft_items", "mask"):
        assert torch.equal(getattr(theirs, name)[:, :width], getattr(ours, name))
        assert not getattr(theirs, name)[:, width:].any()
    for name in ("target_items", "users", "positions"):
        assert torch.equal(getattr(theirs, name), getattr(ours, name))
    expected = computed(package, ours)
    assert len(expected) > 15
    assert largest_difference(computed(naive, theirs), expected) < 1e-4


def test_a_wrong_gate_shows_in_the_comparison(make: Make) -> None:
    naive, package = make(NAIVE), make(PACKAGE)
    with torch.no_grad():
        naive.module.gate.router.weight.add_(0.1 * torch.randn_like(naive.module.gate.router.weight))
    differ = largest_difference(computed(naive, naive.collate(ROWS)), computed(package, package.collate(ROWS)))
    assert differ > 1e-3


@pytest.mark.parametrize("name", [name for name in ablation(can_pack()) if name not in ("naive", "every_target")])
def test_every_variant_of_the_ablation_computes_the_same(make: Make, name: str) -> None:
    """With one target a prompt, the package's; with every target, the naive teacher's, target by target."""
    options = ablation(can_pack())[name]
    if options.targets == "last":
        variant, package = make(options), make(PACKAGE)
        expected = computed(package, package.collate(ROWS))
        assert largest_difference(computed(variant, variant.collate(ROWS)), expected) < 1e-4
        return
    variant = make(options, history_length=10)
    naive = make(replace(NAIVE, padding="bucketed", gate="causal"), history_length=10)
    assert isinstance(naive, NaiveTraining)
    rows = np.arange(5)
    singles = naive.batch(
        single_targets(variant.windows, rows), np.arange(int(variant.windows.num_targets[rows].sum()))
    )
    assert largest_difference(computed(variant, variant.collate(rows)), computed(naive, singles)) < 1e-4


def test_the_leaking_arm_equals_the_naive_one_where_nothing_leaks(make: Make) -> None:
    leaking = make(ablation(packed=False)["every_target"], history_length=10)
    naive = make(replace(NAIVE, padding="bucketed"), history_length=10)
    rows = np.arange(5)
    ends = np.cumsum(leaking.windows.num_targets[rows]) - 1
    singles = single_targets(leaking.windows, rows)
    for training in (leaking, naive):
        training.module.eval()
    with torch.no_grad():
        every = leaking.module(leaking.collate(rows))
        last = naive.module(naive.batch(singles, np.arange(len(singles))))
    torch.testing.assert_close(every[ends], last[ends], rtol=1e-4, atol=1e-5)
    assert (every[: ends[0]] - last[: ends[0]]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "options",
    [
        NaiveOptions("fixed", "fused", vocabulary_head=False, tokenise_in_loop=False),
        NaiveOptions("fixed", "per_expert", vocabulary_head=False, tokenise_in_loop=True),
        NaiveOptions("bucketed", "per_expert", vocabulary_head=True, tokenise_in_loop=False),
    ],
)
def test_options_are_switches_of_their_own(make: Make, options: NaiveOptions) -> None:
    variant, package = make(options), make(PACKAGE)
    assert not isinstance(variant, NaiveTraining)
    batch = variant.collate(ROWS)
    assert (batch.token_ids.shape[1] == LENGTH) == (options.padding == "fixed")
    assert largest_difference(computed(variant, batch), computed(package, package.collate(ROWS))) < 1e-4


def test_the_vocabulary_head_runs_at_every_token(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    plain = nn.Linear.forward

    def forward(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        output = plain(layer, inputs)
        shapes.append(tuple(output.shape))
        return output

    monkeypatch.setattr(nn.Linear, "forward", forward)
    for options, runs in ((NAIVE, 1), (ablation(packed=False)["fused_experts"], 1), (PACKAGE, 0)):
        variant = make(options)
        vocabulary = len(load_tokenizer_of(variant))
        batch = variant.collate(ROWS)
        shapes.clear()
        variant.module(batch)
        assert sum(shape == (*batch.token_ids.shape, vocabulary) for shape in shapes) == runs


def load_tokenizer_of(variant: Any) -> Any:
    """The language model's tokenizer; it has a token for each row of the vocabulary head."""
    return load_tokenizer(RunConfig(teacher=replace(variant.module.config, history_length=10)))


def test_what_is_no_number_is_no_small_difference() -> None:
    one = {"loss": torch.ones(1), "states": torch.ones(2)}
    for name in one:
        assert np.isnan(largest_difference(one, one | {name: one[name] * torch.nan}))


def test_experts_by_hand() -> None:
    """Two experts of rank 1 on a layer that does nothing: weights 1/4 and 3/4, alpha/(R/E) = 2."""
    base = nn.Linear(2, 2, bias=False)
    base.weight.data.zero_()
    down = nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    up = nn.Parameter(torch.tensor([[10.0, 1.0], [20.0, 2.0]]))
    weights = ExpertWeights()
    weights.value = torch.tensor([[[0.25, 0.75]]])
    layer = PerExpertLinear(base, down, up, alpha=2.0, dropout=0.0, weights=weights, experts=2)
    # Expert 0 gives 4 · (10, 20), expert 1 gives 8 · (1, 2).
    expected = 2 * (0.25 * 4 * torch.tensor([10.0, 20.0]) + 0.75 * 8 * torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(layer(torch.tensor([[[4.0, 8.0]]])), expected.reshape(1, 1, 2))


def test_too_long_prompts_are_refused_not_cut(config: RunConfig, data: PreparedData, student_folder: Path) -> None:
    variant = make_training(config, NAIVE, data, student_folder, excite, length=20)
    with pytest.raises(ValueError, match="does not fit the fixed length of 20"):
        variant.collate(ROWS)
    package = make_training(config, PACKAGE, data, student_folder, excite)
    assert isinstance(package, TeacherTraining)
    with pytest.raises(ValueError, match="cannot be padded to the right to 20"):
        widen(package.teacher.prompts.build(collate(data, package.windows, ROWS)), 20)


def test_equal_frozen_weights_become_one_piece_of_memory() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight.data = one.weight.data.clone()
    for module in (one, other):
        module.weight.requires_grad = False
    share_frozen([one, other])
    assert one.weight.data_ptr() == other.weight.data_ptr()
    assert one.bias.data_ptr() != other.bias.data_ptr()
