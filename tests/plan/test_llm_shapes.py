from dataclasses import replace
from pathlib import Path

import pytest

from counting import make_model
from recdistill.errors import UserError
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.plan.llm_shapes import PRESETS
from recdistill.plan.named_shapes import llm_shapes
from recdistill.plan.plan import make_plan
from recdistill.plan.plan_config import PlanConfig
from recdistill.teacher.experts import linear_layer_names
from tiny_decoders import tiny_config

PUBLISHED = {
    "smollm2": 134_515_008,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "opt-125m": 125_239_296,
}
"""Sizes of the checkpoints on the hub."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_as_many_parameters_as_the_published_model(name: str) -> None:
    assert PRESETS[name].parameters() == PUBLISHED[name]


@pytest.mark.parametrize("name", ["smollm2", "llama2-7b", "llama2-13b", "llama3-8b", "mistral-7b", "opt-125m"])
def test_a_preset_has_as_many_parameters_as_the_model_transformers_builds(name: str) -> None:
    shapes = replace(PRESETS[name], layers=2)
    model = make_model(shapes)
    assert shapes.parameters(vocabulary_head=False) == sum(one.numel() for one in model.parameters())


def test_qwen_has_as_many_parameters_as_the_model_transformers_builds() -> None:
    import torch
    from transformers import Qwen2Config, Qwen2Model

    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=2,
        num_attention_heads=28,
        num_key_value_heads=4,
    )
    with torch.device("meta"):
        model = Qwen2Model(config)
    shapes = replace(PRESETS["qwen2.5-7b"], layers=2)
    assert shapes == replace(shapes_from_config(config, "qwen"), tied=False)
    assert shapes.parameters(vocabulary_head=False) == sum(one.numel() for one in model.parameters())


def test_shapes_are_read_from_a_folder_without_its_weights(tmp_path: Path, tiny_llm: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_llm / "config.json").read_bytes())
    shapes = llm_shapes(str(tmp_path))
    assert (shapes.hidden_dim, shapes.intermediate_dim, shapes.layers) == (64, 128, 3)
    assert (shapes.heads, shapes.kv_heads, shapes.head_dim) == (4, 2, 16)
    assert llm_shapes(str(tmp_path), layers=2).layers == 2


def test_opt_is_read_from_its_configuration() -> None:
    from transformers import OPTConfig

    assert shapes_from_config(OPTConfig(), "opt") == replace(PRESETS["opt-125m"], tied=True)


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    from transformers import BloomConfig, LlamaConfig

    with pytest.raises(UserError, match="no preset and no folder 'llama'"):
        llm_shapes("llama")
    with pytest.raises(UserError, match=r"plan\.layers: 99"):
        llm_shapes("smollm2", layers=99)
    with pytest.raises(UserError, match="bloom model"):
        shapes_from_config(BloomConfig(), "bloom")
    with pytest.raises(UserError, match="biases"):
        shapes_from_config(LlamaConfig(attention_bias=True), "other")
    with pytest.raises(UserError, match=r"plan\.llm"):
        llm_shapes(str(tmp_path))


KINDS = ("qwen3", "gemma", "gemma2", "gemma3_text", "gemma3", "phi", "gpt2", "gpt_neox", "mixtral", "qwen3_moe", "opt")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_as_many_parameters_as_the_model_transformers_builds(kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    config = tiny_config(kind).get_text_config(decoder=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = shapes_from_config(config, kind)
    assert shapes.parameters() == sum(one.numel() for one in model.parameters())
    named = {name.rpartition(".")[2] for name in shapes.linear_layers()}
    assert named == linear_layer_names(model.get_decoder())


def test_one_name_may_stand_for_two_layers_of_a_block(tmp_path: Path) -> None:
    tiny_config("gpt2").save_pretrained(tmp_path)
    one = make_plan(PlanConfig(llm=str(tmp_path), adapter_layers=("c_fc",)))
    both = make_plan(PlanConfig(llm=str(tmp_path), adapter_layers=("c_proj",)))
    assert both.parts_gib["adapters"] / one.parts_gib["adapters"] == pytest.approx((2 * 64 + 192) / 192)


def test_a_mixture_is_not_planned_in_four_bits(tmp_path: Path) -> None:
    tiny_config("mixtral").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^plan\.quantization: the experts of .* are no linear layers"):
        make_plan(PlanConfig(llm=str(tmp_path), quantization="nf4"))
