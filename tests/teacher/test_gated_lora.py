"""The experts' own forward and backward pass against PEFT's, which keeps more and computes the same."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from recdistill.config import AdapterConfig
from recdistill.language_models.packing import PACKED_SDPA
from recdistill.teacher.experts import attach_experts, base_decoder, expand_gate
from recdistill.teacher.gated_lora import add_experts, draw_mask
from there import there

RANK, WIDTH, OUT = 8, 12, 10


def tensors(dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x, base = (torch.randn(2, 5, size, generator=generator).to(dtype).requires_grad_() for size in (WIDTH, OUT))
    down = torch.randn(RANK, WIDTH, generator=generator).requires_grad_()
    up = torch.randn(OUT, RANK, generator=generator).requires_grad_()
    return base, x, down, up


def written_out(
    base: Tensor, x: Tensor, down: Tensor, up: Tensor, gate: Tensor | None, scale: float, mask: Tensor | float = 1.0
) -> Tensor:
    """The same with ordinary operations."""
    narrow = (x * mask).to(down.dtype) @ down.T
    return (base + ((narrow if gate is None else narrow * gate) @ up.T) * scale).to(base.dtype)


@pytest.mark.parametrize("shape", [None, (2, 5, RANK), (1, 5, RANK), (2, 1, RANK), (1, 1, RANK)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_formula(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    results = []
    for function in (add_experts, written_out):
        base, x, down, up = tensors(dtype)
        gate = None if shape is None else torch.rand(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = function(base, x, down, up, gate, 4.0)
        assert out.dtype == dtype
        (out.float() * torch.arange(100.0).view(2, 5, 10)).sum().backward()
        grads = [one.grad for one in (base, x, down, up, gate) if one is not None]
        results.append([out.detach(), *grads])
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()))


def test_flat_rows_are_weighed_by_their_own_tokens() -> None:
    """OPT hands its fc1 all tokens of a batch in one list."""
    results = []
    for flat in (False, True):
        base, x, down, up = tensors()
        gate = torch.rand(2, 5, RANK, generator=torch.Generator().manual_seed(1)).requires_grad_()
        given = (base.flatten(0, 1), x.flatten(0, 1)) if flat else (base, x)
        out = add_experts(*given, down, up, gate, 4.0).view(2, 5, OUT)
        (out * torch.arange(100.0).view(2, 5, 10)).sum().backward()
        results.append([out.detach(), *(one.grad for one in (base, x, down, up, gate))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_computes_in_its_type_as_peft_does() -> None:
    base, x, down, up = tensors()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = add_experts(base.bfloat16(), x, down, up, None, 4.0)
        theirs = base.bfloat16() + nn.functional.linear(nn.functional.linear(x, down), up) * 4.0
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2 * float(theirs.abs().max()))


def test_dropout_is_the_masks_and_keeps_the_mean() -> None:
    x = torch.randn(400, 100, 8)
    mask = draw_mask(x, 0.25)
    assert mask.shape == x.shape
    assert float(mask.float().mean()) == pytest.approx(0.75, abs=0.005)
    # No entry depends on its neighbours, though four share one draw.
    pairs = mask.view(-1, 2).float()
    assert float(torch.corrcoef(pairs.T)[0, 1].abs()) < 0.01

    base, x, down, up = tensors()
    torch.manual_seed(3)
    ours = add_experts(base, x, down, up, None, 4.0, dropout=0.5)
    ours.sum().backward()
    torch.manual_seed(3)
    mask = draw_mask(x, 0.5)
    grads = [there(each.grad).clone() for each in (x, down, up)]
    x.grad = down.grad = up.grad = None
    theirs = written_out(base, x, down, up, None, 8.0, mask)
    theirs.sum().backward()
    torch.testing.assert_close(ours, theirs)
    for ours_grad, theirs_grad in zip(grads, (x.grad, down.grad, up.grad), strict=True):
        torch.testing.assert_close(ours_grad, theirs_grad, rtol=1e-4, atol=1e-4)


def kept_bytes(model: torch.nn.Module, inputs: Any, **options: Any) -> int:
    """Bytes of distinct storages that a forward pass keeps for the backward pass, parameters left out."""
    kept, own = {}, {parameter.untyped_storage()._cdata for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(inputs_embeds=inputs, use_cache=False, **options)
    return sum(kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_gated_experts_keep_less_than_plain_lora(dropout: float) -> None:
    """Shapes of Llama-2-7B on the meta device, where tensors have sizes and no memory."""
    from transformers import LlamaConfig, LlamaModel

    shape = LlamaConfig(
        vocab_size=8,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=2,
        num_attention_heads=32,
        num_key_value_heads=32,
        attn_implementation=PACKED_SDPA,
    )
    with torch.device("meta"):
        plain = LlamaModel(shape).bfloat16().requires_grad_(requires_grad=False)
        inputs = torch.empty(1, 128, 4096, dtype=torch.bfloat16).requires_grad_()
        gate = expand_gate(torch.empty(1, 128, 4).requires_grad_(), 8)
    adapter = AdapterConfig(dropout=dropout)
    options = {"r": 8, "lora_alpha": 32, "lora_dropout": dropout, "target_modules": ["q_proj", "v_proj"]}
    peft = base_decoder(get_peft_model(copy.deepcopy(plain), LoraConfig(**options))).to("meta").train()
    ours = base_decoder(attach_experts(plain, adapter)).to("meta").train()
    assert kept_bytes(ours, inputs, expert_gate=gate) < 0.9 * kept_bytes(peft, inputs)
