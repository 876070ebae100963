import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import Backbone, check_machine, load_backbone
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.locations import llm_location


@pytest.fixture
def llm(tiny_llm: Path, tmp_path: Path) -> Path:
    """A copy of the tiny language model, to be spoiled."""
    return shutil.copytree(tiny_llm, tmp_path / "llm")


def load(llm: Path, tmp_path: Path, **settings: Any) -> Backbone:
    return load_backbone(TeacherConfig(llm=str(llm), **settings), tmp_path / "cache", "cpu", layers=2)


def test_the_decoder_is_frozen_and_cut(llm: Path, tmp_path: Path) -> None:
    backbone = load(llm, tmp_path)
    assert len(decoder_blocks(backbone.decoder)) == 2
    assert not backbone.decoder.training
    assert not any(parameter.requires_grad for parameter in backbone.decoder.parameters())


def test_a_path_may_begin_with_the_home_folder(llm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(llm.parent))
    assert llm_location(f"~/{llm.name}", llm.parent) == str(llm)


def test_a_run_on_the_cpu_is_not_told_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UserError, match="fp16 needs a CUDA device, and this run is on the CPU; use fp32 or bf16"):
        check_machine(TeacherConfig(precision="fp16"), "cpu")


def test_pickled_weights_are_not_loaded(llm: Path, tmp_path: Path) -> None:
    torch.save(load_file(llm / "model.safetensors"), llm / "pytorch_model.bin")
    (llm / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"teacher\.llm"):
        load(llm, tmp_path)


def test_weights_that_are_not_there_are_not_made_up(llm: Path, tmp_path: Path) -> None:
    tensors = load_file(llm / "model.safetensors")
    del tensors["model.layers.1.self_attn.v_proj.weight"]
    save_file(tensors, llm / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 of the model's tensors, .*v_proj"):
        load(llm, tmp_path)


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"quantization": "nf4"}, {"attention": "eager"}])
def test_rounding_is_not_taken_for_reading_ahead(llm: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert load(llm, tmp_path, **settings).hidden_dim == 64


def test_a_model_that_reads_ahead_is_refused(llm: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=300, initializer_range=0.1, **shape)).save_pretrained(llm)
    with pytest.raises(UserError, match="depends on the tokens after it"):
        load(llm, tmp_path)
