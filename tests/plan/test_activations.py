"""Bytes kept on paper against a count of the tensors that autograd keeps of the real model."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from counting import counted_block_bytes, peak_bytes
from recdistill.config import Precision
from recdistill.plan.activations import block_activations, checkpoint_bytes
from recdistill.plan.llm_shapes import PRESETS, LlmShapes
from recdistill.plan.plan import GIB
from recdistill.plan.plan_config import PlanConfig
from recdistill.plan.plan_memory import memory_parts

BASE = PlanConfig(llm="llama2-7b", batch_size=2, tokens=128, precision="bf16")
PEFT = replace(BASE, lora_saves="fp32_copy", gate=False)
"""PEFT's own LoRA."""
PER_EXPERT = replace(BASE, lora_saves="fp32_copy", expert_form="per_expert")
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
QKV = ("q_proj", "k_proj", "v_proj")
OPT: dict[str, Any] = {"llm": "opt-125m", "rank": 9, "experts": 3}
CASES = {
    "bf16": BASE,
    "fp32": replace(BASE, precision="fp32"),
    "eager": replace(BASE, attention="eager"),
    "eager fp32": replace(BASE, attention="eager", precision="fp32"),
    "long eager": replace(BASE, attention="eager", tokens=1024, batch_size=1),
    "no gate": replace(BASE, gate=False),
    "no dropout": replace(BASE, dropout=0.0),
    "no dropout fp32": replace(BASE, dropout=0.0, precision="fp32"),
    "all linear layers": replace(BASE, adapter_layers=ALL_LINEAR, rank=64),
    "all linear layers eager": replace(BASE, adapter_layers=ALL_LINEAR, attention="eager"),
    "grouped queries": replace(BASE, llm="smollm2", adapter_layers=QKV),
    "grouped queries eager": replace(BASE, llm="smollm2", attention="eager"),
    "opt": replace(BASE, **OPT),
    "opt, every input": replace(BASE, **OPT, gate=False, adapter_layers=("q_proj", "out_proj", "fc1", "fc2")),
    "peft": PEFT,
    "peft fp32": replace(PEFT, precision="fp32"),
    "peft no dropout": replace(PEFT, dropout=0.0),
    "peft no dropout fp32": replace(PEFT, dropout=0.0, precision="fp32", adapter_layers=ALL_LINEAR),
    "peft gated": replace(PEFT, gate=True, rank=64),
    "peft all linear layers": replace(PEFT, adapter_layers=ALL_LINEAR),
    "peft opt": replace(PEFT, **OPT),
    "per expert": PER_EXPERT,
    "per expert fp32": replace(PER_EXPERT, precision="fp32"),
    "opt fp32 per expert": replace(PER_EXPERT, **OPT, precision="fp32"),
}


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_what_is_kept_on_paper_is_what_autograd_keeps(config: PlanConfig) -> None:
    shapes = PRESETS[config.llm]
    paper = sum(block_activations(shapes, config).values())
    assert paper == pytest.approx(counted_block_bytes(shapes, config), rel=1e-3)


SMALL = {
    "gated": LlmShapes(64, 160, 2, 4, 2, 16, 100),
    "plain": LlmShapes(
        64,
        160,
        2,
        4,
        4,
        16,
        100,
        mlp="plain",
        norm="layer",
        qkv_bias=True,
        linear_bias=True,
        positions=514,
        dropout=0.1,
    ),
}


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("adapters", [BASE, PEFT], ids=["ours", "peft"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-mixed"])
@pytest.mark.parametrize("shapes", SMALL.values(), ids=SMALL)
def test_the_cpu_keeps_what_stands_on_paper(
    shapes: LlmShapes, precision: Precision, attention: Literal["sdpa", "eager"], adapters: PlanConfig, dropout: float
) -> None:
    config = replace(adapters, precision=precision, attention=attention, device="cpu", tokens=96, dropout=dropout)
    paper = sum(block_activations(shapes, config).values())
    assert paper == pytest.approx(counted_block_bytes(shapes, config), rel=0.01)


@pytest.mark.parametrize("adapters", [BASE, PEFT], ids=["ours", "peft"])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_checkpointed_block_keeps_its_input(precision: Precision, adapters: PlanConfig) -> None:
    config = replace(adapters, gradient_checkpointing=True, precision=precision)
    shapes = PRESETS[config.llm]
    assert checkpoint_bytes(shapes, config) == pytest.approx(counted_block_bytes(shapes, config), rel=0.02)


ROWS = {"ours": "gated experts and norms here", "peft": "PEFT's plain LoRA, without a gate"}
"""What the page on planning calls them in its table."""


def test_a_sample_of_llama_2_7b_with_gated_experts_costs_less_than_with_pefts_plain_lora() -> None:
    shapes = PRESETS["llama2-7b"]
    page = (Path(__file__).parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")
    found = {}
    for name, config in {"ours": replace(BASE, batch_size=1), "peft": replace(PEFT, batch_size=1)}.items():
        paper, count = sum(block_activations(shapes, config).values()), counted_block_bytes(shapes, config)
        found[name] = shapes.layers * np.array([paper, count]) / GIB
    assert (found["ours"] <= 0.660).all()
    assert (found["ours"] < found["peft"]).all()
    for name, figures in found.items():
        told = f"{ROWS[name]} | {figures[0]:.3f} | {figures[1]:.3f} |".replace("0.", ".")
        assert told in page, (name, told)


@pytest.mark.parametrize("adapters", [BASE, PEFT], ids=["ours", "peft"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("llm", ["llama2-7b", "smollm2", "opt-125m"])
def test_the_peak_on_paper_is_the_most_that_was_ever_alive(
    llm: str, precision: Precision, checkpointing: bool, adapters: PlanConfig
) -> None:
    config = replace(
        adapters, llm=llm, precision=precision, gradient_checkpointing=checkpointing, soft_tokens=False, items=10
    )
    shapes = replace(PRESETS[llm], layers=4)
    parts = memory_parts(shapes, config)
    assert parts["activations"] + parts["transient"] == pytest.approx(peak_bytes(shapes, config), rel=0.05)
