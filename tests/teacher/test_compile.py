import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from recdistill.config import AdapterConfig
from recdistill.teacher.experts import BlockOptions, attach_experts, base_decoder, expand_gate
from there import there


@pytest.mark.parametrize(("whole", "lengths"), [(True, [12]), (False, [7, 12])])
def test_compiled_blocks_give_the_same_states_and_gradients(
    request: pytest.FixtureRequest, whole: bool, lengths: list[int]
) -> None:
    torch.compiler.reset()
    if not whole:
        request.getfixturevalue("graphs_alone")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=50,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
    )
    plain = LlamaModel(shape).requires_grad_(requires_grad=False)
    config = AdapterConfig(dropout=0.0)
    models = [
        attach_experts(copy.deepcopy(plain), config, BlockOptions(compiled=compiled)) for compiled in (False, True)
    ]
    with torch.no_grad():
        for name, parameter in models[0].named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    models[1].load_state_dict(models[0].state_dict())
    for tokens in lengths:  # each length is compiled for itself
        inputs, logits = torch.randn(2, tokens, 64), torch.randn(2, tokens, 4)
        results, direction = [], torch.randn(2, tokens, 64)
        for model in models:
            weights = logits.clone().requires_grad_()
            gate = expand_gate(weights.softmax(-1), config.rank)
            states = base_decoder(model)(inputs_embeds=inputs, expert_gate=gate).last_hidden_state
            # A random direction: the norm of a normalised state is constant, and has no gradient.
            (states * direction).sum().backward()
            results.append((states.detach(), there(weights.grad)))
        torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-3, atol=1e-4)
        assert results[0][1].abs().max() > 0.1
