"""What of a model is quantised; whether a precision is seen where some things are computed in fp32 by design."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.weights import layer_shapes, quantised_share
from recdistill.measure.evidence import KernelWatch
from recdistill.measure.facts import Seen
from recdistill.measure.settings_check import judge
from tiny_decoders import tiny_model


def four_bits(llm: Path, tmp_path: Path) -> torch.nn.Module:
    config = TeacherConfig(llm=str(llm), quantization="nf4")
    return load_backbone(config, tmp_path / "cache", "cpu", layers=2).decoder


def test_the_share_of_the_blocks_weights_is_told(tiny_llm: Path, tmp_path: Path) -> None:
    decoder = four_bits(tiny_llm, tmp_path)
    norms = 2 * 2 * 64
    linear = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert quantised_share(decoder) == pytest.approx(linear / (linear + norms))
    assert layer_shapes(decoder) == {(64, 64), (32, 64), (128, 64), (64, 128)}
    facts: Seen = {
        "quantised_layers": 14,
        "quantised_share": 0.99,
        "quantised_kinds": ["Linear4bit"],
        "quantised_kernels": {"k": 1},
    }
    (found,) = judge({"teacher.quantization": "nf4"}, facts)
    assert [one.key for one in found.seen] == ["seen_quantised", "seen_quantised_share"]
    assert found.in_effect


def test_a_mixture_whose_experts_stay_as_they_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^teacher\.quantization: nf4 would reach 1\d% of the weights"):
        four_bits(tiny_model("mixtral", tmp_path / "llm"), tmp_path)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3_next"])
def test_half_precision_is_seen_in_the_frozen_layers(tmp_path: Path, kind: str) -> None:
    decoder = AutoModel.from_pretrained(tiny_model(kind, tmp_path / "llm"), dtype=torch.bfloat16)
    with KernelWatch(narrow=8, weights=layer_shapes(decoder)) as watch:
        decoder(input_ids=torch.arange(1, 30).view(1, -1)).last_hidden_state.float().sum().backward()
    facts = watch.seen() | {"frozen_dtypes": ["torch.bfloat16"]}
    (found,) = judge({"teacher.precision": "bf16"}, facts)
    assert found.in_effect
    assert set(watch.products) == {"bfloat16"}


def test_eager_is_in_effect_where_auto_had_nothing_else() -> None:
    facts: Seen = {"attention": "eager", "attention_kernels": {}, "attention_softmaxes": 4}
    assert [one.in_effect for one in judge({"teacher.attention": "auto"}, facts)] == [True]
    facts |= {"attention": "sdpa"}
    assert [one.in_effect for one in judge({"teacher.attention": "auto"}, facts)] == [False]
