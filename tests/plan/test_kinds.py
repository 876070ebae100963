"""Bytes kept on paper against a count, for kinds beyond Llama's and OPT's."""

import importlib
from typing import Any

import pytest
import torch
from transformers import AutoModel

from counting import kept_bytes, like_a_gpu
from recdistill.config import AdapterConfig
from recdistill.plan.activations import block_activations
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.plan.plan_config import PlanConfig
from recdistill.teacher.experts import attach_experts, base_decoder
from recdistill.teacher.norms import use_lean_norms
from tiny_decoders import tiny_config

TOKENS = 128
WITHIN = {"gpt_neox": 0.1}
"""gpt_neox keeps one tensor of the stream's width more than the paper knows."""
LAYERS = {"gpt2": ("c_attn",), "gpt_neox": ("query_key_value",)}


def counted(kind: str, blocks: int, config: PlanConfig, patch: pytest.MonkeyPatch) -> tuple[int, Any]:
    """Bytes that a pass of the real model keeps, and its configuration."""
    settings = tiny_config(kind, **{"n_layer" if kind == "gpt2" else "num_hidden_layers": blocks})
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    with torch.device("meta"):
        model: Any = AutoModel.from_config(settings, attn_implementation=config.attention).to(dtype)
        inputs = torch.zeros(2, TOKENS, 64, dtype=dtype).requires_grad_()
        gate, mask = torch.zeros(2, TOKENS, config.rank), torch.zeros(1, 1, TOKENS, TOKENS)
    use_lean_norms(model.requires_grad_(requires_grad=False))
    adapter = AdapterConfig(config.rank, config.experts, dropout=config.dropout, layers=config.adapter_layers)
    decoder = base_decoder(attach_experts(model, adapter)).train()
    module = importlib.import_module(type(model).__module__)
    for name in ("create_causal_mask", "create_sliding_window_causal_mask"):
        made = mask if config.attention == "eager" else None
        patch.setattr(module, name, lambda *_, made=made, **__: made, raising=False)
    with like_a_gpu(config):
        return kept_bytes(
            lambda: decoder(inputs_embeds=inputs, expert_gate=gate.requires_grad_(), use_cache=False)
        ), settings


@pytest.mark.parametrize("kind", ["qwen3", "gemma", "gemma2", "gemma3_text", "phi", "gpt2", "gpt_neox", "mixtral"])
def test_what_a_block_keeps_is_what_the_paper_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = LAYERS.get(kind, ("q_proj", "v_proj"))
    attention: Any = "eager" if kind == "gemma2" else "sdpa"
    config = PlanConfig(
        llm=kind, batch_size=2, tokens=TOKENS, precision="bf16", adapter_layers=layers, attention=attention
    )
    (small, _), (large, settings) = (counted(kind, blocks, config, monkeypatch) for blocks in (1, 3))
    paper = sum(block_activations(shapes_from_config(settings, kind), config).values())
    assert paper == pytest.approx((large - small) / 2, rel=WITHIN.get(kind, 0.01))
