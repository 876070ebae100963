"""What `recdistill plan` says of streams, against the steps, tokens and tensors of a training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from counting import kept_bytes
from recdistill.config import TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.language_models.sliding import BLOCK, Sliding
from recdistill.measure.facts import Seen
from recdistill.measure.settings_check import judge
from recdistill.plan.activations import block_activations, stream_mask
from recdistill.plan.named_shapes import llm_shapes
from recdistill.plan.plan import make_plan
from recdistill.plan.plan_config import STREAM_BLOCK, PlanConfig
from recdistill.teacher.teacher import Teacher
from recdistill.training.evidence import module_facts
from recdistill.training.teacher import TeacherTraining
from user_histories import with_lengths

WINDOW, BATCH = 10, 16
STREAMS: dict[str, Any] = {
    "windows": "sliding",
    "padding": "packed",
    "history_length": WINDOW,
    "train": TrainConfig(batch_size=BATCH),
}


def planned(training: TeacherTraining, llm: Path) -> PlanConfig:
    """What a person would put in: mean tokens and targets of a sequence, and how many there are."""
    teacher, windows = training.teacher, training.windows
    return PlanConfig(
        llm=str(llm),
        layers=1,
        windows="sliding",
        history_length=WINDOW,
        batch_size=BATCH,
        tokens=round(float(training.lengths.mean())),
        targets_per_prompt=round(float(windows.num_targets.mean())),
        rows=len(windows),
        items=teacher.data.num_items,
        dropout=0.0,
        rank=teacher.config.adapter.rank,
        experts=teacher.config.adapter.experts,
        device="cpu",
        peak_tflops=1.0,
        utilisation=1.0,
    )


@pytest.mark.parametrize(("shortest", "longest"), [(25, 70), (60, 260)])
def test_steps_tokens_and_attention_are_those_of_a_training(
    make_teacher: Callable[..., Teacher], data: PreparedData, tiny_llm: Path, shortest: int, longest: int
) -> None:
    lengths = np.random.default_rng(1).integers(shortest, longest, size=160)
    training = TeacherTraining(make_teacher(with_lengths(data, lengths), **STREAMS, prompt="item"), seed=0)
    config, batches = planned(training, tiny_llm), [training.collate(rows) for rows in training.plan(0)]
    assert config.rows / config.prompts == pytest.approx(len(batches), rel=0.1)
    tokens = sum(batch.token_ids.numel() for batch in batches)
    assert config.rows * config.tokens == pytest.approx(tokens, rel=0.02)
    packed = [Sliding.of(batch.prompt_tokens, batch.steps[0], WINDOW, torch.float32) for batch in batches]
    products = sum(one.bias.numel() for one in packed)
    assert config.rows * config.tokens * config.attended == pytest.approx(products, rel=0.25)
    plan = make_plan(config)
    assert plan.epoch_seconds == pytest.approx(len(batches) * plan.executed_flops_per_step / 1e12, rel=0.1)
    whole = make_plan(replace(config, windows="all", batch_size=round(config.prompts)))
    assert plan.tokens_per_step == pytest.approx(whole.tokens_per_step, rel=0.2)
    assert plan.model_flops_per_step / plan.tokens_per_step < whole.model_flops_per_step / whole.tokens_per_step or (
        longest == 70
    )


def test_what_a_block_keeps_is_what_autograd_keeps(
    make_teacher: Callable[..., Teacher], data: PreparedData, tiny_llm: Path
) -> None:
    alike = with_lengths(data, np.full(8, 163))
    kept = []
    for layers in (1, 2):
        teacher = make_teacher(alike, **STREAMS, prompt="item", layers=layers)
        training = TeacherTraining(teacher, seed=0)
        batch = training.collate(training.plan(0)[0])
        training.module.train()
        kept.append(kept_bytes(partial(training.module, batch)))
    config = planned(training, tiny_llm)
    assert config.prompts == len(batch.prompt_tokens)
    block = sum(block_activations(llm_shapes(str(tiny_llm), 1), config).values())
    assert block == pytest.approx(kept[1] - kept[0], rel=0.05)
    mask = Sliding.of(batch.prompt_tokens, batch.steps[0], WINDOW, torch.float32).bias
    assert stream_mask(config) == pytest.approx(4 * mask.numel(), rel=0.05)


@pytest.mark.parametrize(("interactions", "slid"), [(30, True), (6, False)])
def test_the_evidence_says_whether_attention_slid(
    make_teacher: Callable[..., Teacher], data: PreparedData, interactions: int, slid: bool
) -> None:
    """A history that fits one window is read as a window is."""
    teacher = make_teacher(with_lengths(data, np.full(3, interactions)), **STREAMS)
    facts = module_facts(teacher)
    assert facts["longest_sequence"] == interactions - 2
    seen: Seen = {name: facts[name] for name in ("longest_history", "longest_sequence")}  # type: ignore[assignment]
    (found,) = judge({"teacher.windows": "sliding"}, seen)
    assert found.in_effect is slid


def test_blocks_are_those_of_the_attention_and_other_kernels_are_refused() -> None:
    assert STREAM_BLOCK == BLOCK
    with pytest.raises(UserError, match=r"plan\.windows: sliding"):
        PlanConfig(windows="sliding", attention="flash_attention_2")


def test_what_fits_counts_whole_windows() -> None:
    """A batch of n windows' items: twice the batch size is twice the sequences."""
    config = PlanConfig(windows="sliding", history_length=50, targets_per_prompt=100, tokens=100, batch_size=16)
    assert config.prompts == 8
    assert replace(config, batch_size=32).prompts == 16
    assert replace(config, windows="all").prompts == 16
    assert make_plan(config).tokens_per_step == 800
    assert make_plan(config).activations_gib_per_prompt > 0
