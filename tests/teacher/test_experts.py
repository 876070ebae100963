import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModel, BitsAndBytesConfig, BloomConfig, BloomModel

from recdistill.config import AdapterConfig
from recdistill.errors import UserError
from recdistill.language_models.blocks import decoder_blocks
from recdistill.teacher.experts import (
    BlockOptions,
    attach_experts,
    base_decoder,
    check_gate_arrived,
    expand_gate,
    load_experts,
    save_experts,
)
from there import there

CONFIG = AdapterConfig(rank=8, experts=4, alpha=32.0, dropout=0.0, layers=("q_proj", "v_proj", "down_proj"))


def load_decoder(folder: Path, four_bit: bool = False) -> Any:
    quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4") if four_bit else None
    options = {"quantization_config": quantization, "device_map": "cpu"} if four_bit else {}
    return AutoModel.from_pretrained(folder, dtype=torch.float32, **options).requires_grad_(requires_grad=False)


def with_random_experts(decoder: nn.Module, checkpointing: bool = False) -> PeftModel:
    model = attach_experts(decoder, CONFIG, BlockOptions(checkpointing=checkpointing))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


class PerExpert(nn.Module):
    """The paper's formula as it is written: y = W x + (alpha / r*) Σ_e ω_e B_e A_e x, with an expert axis."""

    def __init__(self, base: nn.Module, down: torch.Tensor, up: torch.Tensor, omega: torch.Tensor) -> None:
        super().__init__()
        self.base, self.omega = base, omega
        self.down, self.up = nn.Parameter(down.detach().clone()), nn.Parameter(up.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        experts = self.omega.shape[-1]
        down = self.down.view(experts, -1, self.down.shape[1])
        up = self.up.view(self.up.shape[0], experts, -1)
        each = torch.einsum("bti,eri,oer->bteo", x, down, up)
        scale = CONFIG.alpha / (CONFIG.rank / experts)
        out: torch.Tensor = self.base(x) + scale * torch.einsum("bteo,bte->bto", each, self.omega)
        return out


@pytest.mark.parametrize("four_bit", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fused_experts_equal_the_per_expert_formula_with_gradients(
    tiny_llm: Path, four_bit: bool, checkpointing: bool
) -> None:
    decoder = load_decoder(tiny_llm, four_bit)
    reference = copy.deepcopy(decoder) if not four_bit else load_decoder(tiny_llm, four_bit)
    model = with_random_experts(decoder, checkpointing)
    fused = base_decoder(model).train()

    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(2, 7, 64, generator=generator).requires_grad_()
    logits = torch.randn(2, 7, 4, generator=generator).requires_grad_()
    # A random direction: the norm of a normalised state is constant, and has no gradient.
    direction = torch.randn(2, 7, 64, generator=generator)
    ours = fused(inputs_embeds=inputs, expert_gate=expand_gate(logits.softmax(-1), 8)).last_hidden_state
    (ours * direction).sum().backward()

    other_inputs, other_logits = inputs.detach().clone().requires_grad_(), logits.detach().clone().requires_grad_()
    omega = other_logits.softmax(-1)
    pairs = []
    for block, other in zip(decoder_blocks(model), decoder_blocks(reference), strict=True):
        layers = [(block.self_attn, other.self_attn, name) for name in ("q_proj", "v_proj")]
        for place, other_place, name in [*layers, (block.mlp, other.mlp, "down_proj")]:
            lora = getattr(place, name)
            down, up = lora.lora_A["default"].weight, lora.lora_B["default"].weight
            setattr(other_place, name, PerExpert(getattr(other_place, name), down, up, omega))
            pairs.append((lora, getattr(other_place, name)))
    theirs = reference(inputs_embeds=other_inputs).last_hidden_state
    (theirs * direction).sum().backward()

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(inputs.grad, other_inputs.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(logits.grad, other_logits.grad, rtol=1e-3, atol=1e-3)
    assert there(logits.grad).abs().max() > 0.1
    for lora, plain in pairs:
        torch.testing.assert_close(lora.lora_A["default"].weight.grad, plain.down.grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(lora.lora_B["default"].weight.grad, plain.up.grad, rtol=1e-3, atol=1e-3)
        assert lora.lora_A["default"].weight.grad.abs().max() > 0.1


def test_expanded_gate_gives_each_expert_its_block_of_ranks() -> None:
    gate = expand_gate(torch.tensor([[0.5, 0.25, 0.25, 0.0]]), 8)
    assert gate.tolist() == [[2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]


def test_gate_reaches_only_its_own_forward_pass(tiny_llm: Path) -> None:
    model = with_random_experts(load_decoder(tiny_llm))
    decoder, inputs = base_decoder(model).eval(), torch.randn(1, 3, 64)
    plain = decoder(inputs_embeds=inputs).last_hidden_state
    skewed = expand_gate(torch.tensor([[[0.97, 0.01, 0.01, 0.01]]]), 8)
    gated = decoder(inputs_embeds=inputs, expert_gate=skewed).last_hidden_state
    assert (plain - gated).abs().max() > 1e-3
    torch.testing.assert_close(decoder(inputs_embeds=inputs).last_hidden_state, plain)


# Without gradients on both sides: on CPUs with AVX512-BF16, bitsandbytes then takes another kernel for 4-bit layers.
@torch.no_grad()
@pytest.mark.parametrize("four_bit", [False, True])
def test_peft_itself_opens_the_saved_adapters_as_plain_lora(tiny_llm: Path, tmp_path: Path, four_bit: bool) -> None:
    model = with_random_experts(load_decoder(tiny_llm, four_bit))
    save_experts(model, tmp_path, "tiny")
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == ["adapter_model.safetensors"]
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    inputs = torch.randn(2, 5, 64)
    uniform = expand_gate(torch.full((2, 5, 4), 0.25), 8)
    ours = base_decoder(model).eval()(inputs_embeds=inputs, expert_gate=uniform).last_hidden_state
    opened = PeftModel.from_pretrained(load_decoder(tiny_llm, four_bit), tmp_path).eval()
    theirs = opened(inputs_embeds=inputs).last_hidden_state
    torch.testing.assert_close(ours, theirs)
    bare = load_decoder(tiny_llm, four_bit).eval()(inputs_embeds=inputs).last_hidden_state
    assert (bare - theirs).abs().max() > 1e-3


def test_loading_is_strict(tiny_llm: Path, tmp_path: Path) -> None:
    save_experts(with_random_experts(load_decoder(tiny_llm)), tmp_path, "tiny")
    fresh = attach_experts(load_decoder(tiny_llm), CONFIG)
    load_experts(fresh, tmp_path)
    inputs = torch.randn(1, 4, 64)
    expected = base_decoder(with_random_experts(load_decoder(tiny_llm))).eval()(inputs_embeds=inputs).last_hidden_state
    torch.testing.assert_close(base_decoder(fresh).eval()(inputs_embeds=inputs).last_hidden_state, expected)
    fewer = attach_experts(load_decoder(tiny_llm), AdapterConfig(rank=8, experts=4, layers=("q_proj",)))
    with pytest.raises(UserError, match="do not fit"):
        load_experts(fewer, tmp_path)
    other_rank = attach_experts(load_decoder(tiny_llm), AdapterConfig(rank=4, experts=4, layers=CONFIG.layers))
    with pytest.raises(UserError, match="do not fit"):
        load_experts(other_rank, tmp_path)
    with pytest.raises(UserError, match="no such file"):
        load_experts(fresh, tmp_path / "nowhere")


def test_unknown_layer_is_named(tiny_llm: Path) -> None:
    with pytest.raises(UserError, match=r"teacher.adapter.layers: .*'query'.* q_proj"):
        attach_experts(load_decoder(tiny_llm), AdapterConfig(layers=("query",)))


def test_what_is_no_linear_layer_of_a_block_is_refused(tiny_llm: Path) -> None:
    for layer in ("input_layernorm", "embed_tokens", "self_attn"):
        with pytest.raises(UserError, match=rf"teacher.adapter.layers: .*no linear layer '{layer}'"):
            attach_experts(load_decoder(tiny_llm), AdapterConfig(layers=(layer,)))


def test_an_adapter_outside_the_blocks_is_refused(tiny_llm: Path) -> None:
    decoder = load_decoder(tiny_llm)
    decoder.v_proj = nn.Linear(64, 64)
    with pytest.raises(UserError, match="v_proj lies outside the decoder blocks"):
        attach_experts(decoder, CONFIG)


def test_a_longer_list_inside_a_block_is_not_taken_for_the_blocks(tiny_llm: Path) -> None:
    decoder = load_decoder(tiny_llm)
    decoder.layers[0].mlp.experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(8))
    assert decoder_blocks(decoder) == list(decoder.layers)


def test_a_model_that_keeps_keywords_from_its_blocks_is_refused(tiny_llm: Path) -> None:
    inputs, gate = torch.randn(1, 3, 16), expand_gate(torch.full((1, 3, 4), 0.25), 8)
    deaf = BloomModel(BloomConfig(vocab_size=16, hidden_size=16, n_layer=2, n_head=2))
    model = attach_experts(deaf, AdapterConfig(layers=("query_key_value",)))
    base_decoder(model)(inputs_embeds=inputs, expert_gate=gate)
    with pytest.raises(UserError, match="no gate can reach the experts"):
        check_gate_arrived(model)
    heard = attach_experts(load_decoder(tiny_llm), CONFIG)
    base_decoder(heard)(inputs_embeds=torch.randn(1, 3, 64), expert_gate=gate)
    check_gate_arrived(heard)


def test_only_experts_are_trained(tiny_llm: Path) -> None:
    model = attach_experts(load_decoder(tiny_llm), CONFIG)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 3 * 3
    assert all("lora_" in name for name in trained)
