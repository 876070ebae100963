"""What a GPU adds: the same scores as on the CPU, in each precision and quantisation. Skipped where there is none."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from recdistill.config import Padding, Quantization
from recdistill.data.prepared import PreparedData
from recdistill.distill.batch_size import find_batch_size
from recdistill.teacher.compiling import cuda_graphs_made, graphs_made
from recdistill.teacher.teacher import Teacher

pytestmark = pytest.mark.gpu


def scores(make_teacher: Callable[..., Teacher], data: PreparedData, **settings: Any) -> tuple[Tensor, Teacher]:
    teacher = make_teacher(data, **settings)
    windows = teacher.export_windows()
    return teacher.predict(windows, np.arange(len(windows)))[2].float().cpu()[:, 1:], teacher


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"precision": "fp32"}, 1e-3),
        ({"precision": "bf16"}, 0.06),
        ({"precision": "fp16"}, 0.03),
        ({"precision": "bf16-mixed"}, 0.03),
        ({"precision": "fp16-mixed"}, 0.01),
        ({"precision": "bf16", "attention": "flex_attention"}, 0.06),
        ({"precision": "fp32", "padding": "packed"}, 1e-3),
        ({"precision": "bf16", "padding": "packed", "attention": "flex_attention"}, 0.06),
        ({"precision": "fp32", "compile": True}, 1e-3),
        ({"precision": "fp32", "compile": True, "cuda_graphs": True}, 1e-3),
    ],
)
def test_scores_are_those_of_the_cpu_within_the_precision(
    make_teacher: Callable[..., Teacher], data: PreparedData, settings: dict[str, Any], tolerance: float
) -> None:
    expected, _ = scores(make_teacher, data)
    found, _ = scores(make_teacher, data, device="cuda", **settings)
    assert (found - expected).norm() <= tolerance * expected.norm()


def test_cuda_graphs_train_as_plain_blocks_do(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    gradients = []
    for settings in ({}, {"compile": True, "cuda_graphs": True}):
        teacher = make_teacher(data, device="cuda", **settings)
        windows = teacher.training_windows()
        teacher.ranker.train()
        for step in range(6):  # The third replays what the second recorded; two passes are accumulated at the end.
            if step != 5:
                teacher.ranker.zero_grad(set_to_none=True)
            teacher.ranker(teacher.batch(windows, np.arange(4)).to("cuda")).square().sum().backward()
        found = {name: p.grad.clone() for name, p in teacher.ranker.named_parameters() if p.grad is not None}
        gradients.append(found)
        assert settings == {} or cuda_graphs_made() > 0
    plain, replayed = gradients
    assert set(plain) == set(replayed)
    for name, expected in plain.items():
        assert (replayed[name] - expected).norm() <= 1e-3 * expected.norm() + 1e-6, name


def test_compiled_blocks_stay_whole_and_are_compiled_once(
    make_teacher: Callable[..., Teacher], data: PreparedData
) -> None:
    teacher = make_teacher(data, device="cuda", compile=True)
    windows = teacher.training_windows()
    teacher.ranker.train()
    torch._dynamo.reset()
    broken, made = sum(counters["graph_break"].values()), [graphs_made()]
    for _ in range(3):
        teacher.ranker(teacher.batch(windows, np.arange(4)).to("cuda")).square().sum().backward()
        made.append(graphs_made())
    assert made[0] < made[1] == made[-1]
    assert sum(counters["graph_break"].values()) == broken, dict(counters["graph_break"])


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_quantised_layers_train(
    make_teacher: Callable[..., Teacher], data: PreparedData, quantization: Quantization, checkpointing: bool
) -> None:
    settings = {"quantization": quantization, "precision": "bf16", "gradient_checkpointing": checkpointing}
    _, teacher = scores(make_teacher, data, device="cuda", **settings)
    teacher.ranker.train()
    windows = teacher.training_windows()
    teacher.ranker(teacher.batch(windows, np.arange(4)).to("cuda")).square().sum().backward()
    experts = [p for name, p in teacher.ranker.named_parameters() if "lora_" in name]
    assert experts
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in experts)


def test_four_bits_score_as_on_the_cpu(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    expected, _ = scores(make_teacher, data, quantization="nf4")
    found, _ = scores(make_teacher, data, quantization="nf4", device="cuda")
    assert (found - expected).norm() <= 0.01 * expected.norm()


def test_checkpointing_changes_no_gradient(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    gradients = []
    for checkpointing in (False, True):
        teacher = make_teacher(data, device="cuda", gradient_checkpointing=checkpointing)
        windows = teacher.training_windows()
        teacher.ranker.train()
        teacher.ranker(teacher.batch(windows, np.arange(4)).to("cuda")).square().sum().backward()
        gradients.append({name: p.grad for name, p in teacher.ranker.named_parameters() if p.grad is not None})
    assert set(gradients[0]) == set(gradients[1])
    for name, expected in gradients[0].items():
        assert (gradients[1][name] - expected).norm() <= 1e-4 * expected.norm() + 1e-6, name


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="flash-attn is not installed")
@pytest.mark.parametrize("padding", ["bucketed", "packed"])
def test_flash_attention_scores_as_the_cpu(
    make_teacher: Callable[..., Teacher], data: PreparedData, padding: Padding
) -> None:
    expected, _ = scores(make_teacher, data)
    settings = {"precision": "bf16", "attention": "flash_attention_2", "padding": padding}
    found, _ = scores(make_teacher, data, device="cuda", **settings)
    assert (found - expected).norm() <= 0.06 * expected.norm()


def test_an_export_finds_its_batch_size(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    teacher = make_teacher(data, device="cuda")
    windows = teacher.export_windows()
    lengths = teacher.prompt_lengths(windows)
    longest = np.argsort(-lengths, kind="stable")
    size, trials = find_batch_size(lambda rows: teacher.predict(windows, longest[:rows], rows), len(windows), "cuda")
    assert size in [trial.batch_size for trial in trials]
