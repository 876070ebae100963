"""Bytes kept on paper against a count of the tensors that autograd keeps of the real model."""

from dataclasses import replace

import pytest

from counting import counted_block_bytes, peak_bytes
from recdistill.profiling.activations import block_activations, checkpoint_bytes
from recdistill.profiling.llm_shapes import PRESETS, LlmShapes
from recdistill.profiling.plan_config import PlanConfig
from recdistill.profiling.plan_memory import memory_parts

LORA_SAVES = "fp32_copy"
"""What `teacher.experts` does today."""
BASE = PlanConfig(llm="llama2-7b", batch_size=2, tokens=128, precision="bf16", lora_saves=LORA_SAVES)
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
QKV = ("q_proj", "k_proj", "v_proj")
CASES = {
    "bf16": BASE,
    "fp32": replace(BASE, precision="fp32"),
    "eager": replace(BASE, attention="eager"),
    "eager fp32": replace(BASE, attention="eager", precision="fp32"),
    "long eager": replace(BASE, attention="eager", tokens=1024, batch_size=1),
    "plain LoRA": replace(BASE, gate=False),
    "no dropout": replace(BASE, dropout=0.0),
    "no dropout fp32": replace(BASE, dropout=0.0, precision="fp32"),
    "per expert": replace(BASE, expert_form="per_expert"),
    "per expert fp32": replace(BASE, expert_form="per_expert", precision="fp32"),
    "input kept": replace(BASE, lora_saves="input"),
    "input kept, grouped queries": replace(BASE, lora_saves="input", llm="smollm2", adapter_layers=QKV),
    "all linear layers": replace(BASE, adapter_layers=ALL_LINEAR),
    "grouped queries": replace(BASE, llm="smollm2"),
    "grouped queries eager": replace(BASE, llm="smollm2", attention="eager"),
    "opt": replace(BASE, llm="opt-125m", rank=9, experts=3),
    "opt fp32 per expert": replace(
        BASE, llm="opt-125m", rank=9, experts=3, expert_form="per_expert", precision="fp32"
    ),
}  # fmt: skip


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_what_is_kept_on_paper_is_what_autograd_keeps(config: PlanConfig) -> None:
    shapes = PRESETS[config.llm]
    paper = sum(block_activations(shapes, config).values())
    assert paper == pytest.approx(counted_block_bytes(shapes, config), rel=0.02)


SMALL = {
    "gated": LlmShapes(64, 160, 2, 4, 2, 16, 100),
    "plain": LlmShapes(64, 160, 2, 4, 4, 16, 100, mlp="plain", norm="layer", qkv_bias=True, linear_bias=True,
                       positions=514, dropout=0.1),
}  # fmt: skip


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-mixed"])
@pytest.mark.parametrize("shapes", SMALL.values(), ids=SMALL)
def test_the_cpu_keeps_what_stands_on_paper(shapes: LlmShapes, precision: str, attention: str) -> None:
    config = replace(BASE, precision=precision, attention=attention, device="cpu", tokens=96)
    paper = sum(block_activations(shapes, config).values())
    assert paper == pytest.approx(counted_block_bytes(shapes, config), rel=0.03)


def test_a_checkpointed_block_keeps_its_input() -> None:
    for precision in ("bf16", "fp32"):
        config = replace(BASE, activation_checkpointing=True, precision=precision)
        shapes = PRESETS[config.llm]
        assert checkpoint_bytes(shapes, config) == pytest.approx(counted_block_bytes(shapes, config), rel=0.02)


def test_a_sample_of_llama_2_7b_costs_no_more_than_plain_lora() -> None:
    config = replace(BASE, batch_size=1)
    shapes = PRESETS["llama2-7b"]
    for found in (counted_block_bytes(shapes, config), sum(block_activations(shapes, config).values())):
        assert 32 * found / 1024**3 <= 0.660


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("llm", ["llama2-7b", "smollm2", "opt-125m"])
def test_the_peak_on_paper_is_the_most_that_was_ever_alive(llm: str, precision: str, checkpointing: bool) -> None:
    config = replace(
        BASE, llm=llm, precision=precision, activation_checkpointing=checkpointing, soft_tokens=False, items=10
    )  # fmt: skip
    shapes = replace(PRESETS[llm], layers=6)
    parts = memory_parts(shapes, config)
    assert parts["activations"] + parts["transient"] == pytest.approx(peak_bytes(shapes, config), rel=0.05)
