import copy

import pytest
import torch
from torch import nn
from transformers import GemmaConfig, GemmaModel, LlamaConfig, LlamaModel

from recdistill.teacher.norms import LeanNorm, use_lean_norms
from there import there

SHAPE = {
    "vocab_size": 20,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}


def llama() -> LlamaModel:
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(**SHAPE)).requires_grad_(requires_grad=False)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.copy_(torch.rand(parameter.shape) + 0.5)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_the_same_to_the_bit_and_gradients_within_rounding(dtype: torch.dtype) -> None:
    plain = llama().to(dtype)
    lean = copy.deepcopy(plain)
    assert use_lean_norms(lean) == 5
    results = []
    for model in (plain, lean):
        x = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
        out = model(inputs_embeds=x, use_cache=False).last_hidden_state
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
        (out.float() * weights).sum().backward()
        results.append((out.detach(), there(x.grad)))
    assert torch.equal(results[0][0], results[1][0])
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    scale = float(results[0][1].abs().max())
    torch.testing.assert_close(results[1][1], results[0][1], rtol=tolerance, atol=tolerance * scale)


def test_a_norm_of_another_formula_is_left_alone() -> None:
    model = GemmaModel(GemmaConfig(**SHAPE, head_dim=8)).requires_grad_(requires_grad=False)
    assert use_lean_norms(model) == 0
    assert not any(isinstance(module, LeanNorm) for module in model.modules())


def test_a_norm_that_is_trained_is_left_alone() -> None:
    assert use_lean_norms(llama().requires_grad_(requires_grad=True)) == 0
    assert use_lean_norms(nn.Linear(2, 2)) == 0


def test_a_second_time_changes_nothing() -> None:
    model = llama()
    use_lean_norms(model)
    assert use_lean_norms(model) == 0
