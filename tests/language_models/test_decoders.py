"""What is no decoder, or cannot be loaded, is refused in one line; the rest is cut and unwrapped as it should be."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import Backbone, check_llm, load_backbone
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.kinds import places
from recdistill.language_models.locations import llm_location
from tiny_decoders import tiny_config, tiny_model


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("kinds")

    def of(kind: str) -> Path:
        return folder / kind if (folder / kind).is_dir() else tiny_model(kind, folder / kind)

    return of


def load(llm: Path, tmp_path: Path, layers: int | None = None, **settings: Any) -> Backbone:
    return load_backbone(TeacherConfig(llm=str(llm), **settings), tmp_path / "cache", "cpu", layers)


def states(decoder: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = decoder(input_ids=torch.arange(1, 9).unsqueeze(0)).last_hidden_state
    return found


def first_block(decoder: Any) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    hook = decoder.layers[0].register_forward_hook(
        lambda *one: seen.append(one[2][0] if isinstance(one[2], tuple) else one[2])
    )
    states(decoder)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(
    "kind", ["mamba", "jamba", "bamba", "recurrent_gemma", "gemma3n_text", "gemma4_text", "gemma3"]
)
def test_a_cut_model_begins_as_the_whole_one(made: Any, tmp_path: Path, kind: str) -> None:
    cut, whole = (load(made(kind), tmp_path, layers).decoder for layers in (2, None))
    assert (len(decoder_blocks(cut)), len(decoder_blocks(whole))) == (2, 4)
    torch.testing.assert_close(first_block(cut), first_block(whole))
    config: Any = cut.config
    assert config.num_hidden_layers == 2


def test_of_a_model_that_reads_images_the_text_decoder_is_taken(made: Any, tmp_path: Path) -> None:
    for kind in ("llava", "qwen2_5_vl"):
        backbone = load(made(kind), tmp_path)
        whole = AutoModel.from_pretrained(made(kind)).eval()
        torch.testing.assert_close(states(backbone.decoder), states(whole))
        assert "vision" not in " ".join(name for name, _ in backbone.decoder.named_modules())


def test_auto_falls_back_to_eager_and_says_so(made: Any, tmp_path: Path) -> None:
    choices = load(made("bloom"), tmp_path).choices
    assert choices["attention"] == "eager"
    assert choices["attention_reason"] == {"key": "attention_only_eager", "values": {"kind": "bloom"}}
    with pytest.raises(
        UserError, match=r"^teacher\.attention: transformers has no sdpa for bloom models; use auto or eag"
    ):
        check_llm(TeacherConfig(llm=str(made("bloom")), attention="sdpa"), tmp_path)


def test_an_encoder_with_a_decoder_is_refused_before_it_is_loaded(made: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^teacher\.llm: .*t5 is an encoder with a decoder"):
        check_llm(TeacherConfig(llm=str(made("t5"))), tmp_path)


def test_pickled_weights_are_told_with_what_to_do(made: Any, tmp_path: Path) -> None:
    llm = shutil.copytree(made("llama"), tmp_path / "llm")
    torch.save(load_file(llm / "model.safetensors"), llm / "pytorch_model.bin")
    (llm / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"^teacher\.llm: .* pickles \(pytorch_model\.bin\).*safetensors"):
        check_llm(TeacherConfig(llm=str(llm)), tmp_path)


@pytest.mark.parametrize("beside", [True, False])
def test_an_adapter_is_refused_beside_its_model_and_alone(made: Any, tmp_path: Path, beside: bool) -> None:
    llm = shutil.copytree(made("llama"), tmp_path / "llm") if beside else tmp_path / "llm"
    model = AutoModel.from_pretrained(made("llama"))
    get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained(llm)
    with pytest.raises(UserError, match=r"^teacher\.llm: .* holds a PEFT adapter; merge it"):
        llm_location(str(llm), tmp_path)


def test_an_adapter_that_transformers_has_loaded_is_refused(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As from a hub, where no folder can be looked into beforehand.
    llm = shutil.copytree(made("llama"), tmp_path / "llm")
    get_peft_model(AutoModel.from_pretrained(llm), LoraConfig(target_modules=["q_proj"])).save_pretrained(llm)
    monkeypatch.setattr("recdistill.language_models.backbone.llm_location", lambda *_: str(llm))
    with pytest.raises(UserError, match=r"^teacher\.llm: .* holds a PEFT adapter; merge it"):
        load(llm, tmp_path)


def test_without_a_tokenizer_soft_tokens_can_be_read_and_text_cannot(made: Any, tmp_path: Path) -> None:
    llm = shutil.copytree(made("llama"), tmp_path / "llm", ignore=shutil.ignore_patterns("tokenizer*"))
    backbone = load(llm, tmp_path)
    with pytest.raises(
        UserError, match=r"^teacher\.llm: .* its tokenizer cannot be read.*teacher\.prompt: item"
    ) as told:
        _ = backbone.tokenizer
    assert "\n" not in str(told.value)


def test_tokens_that_the_model_does_not_know_are_refused(made: Any, tmp_path: Path) -> None:
    backbone = load(made("llama"), tmp_path)
    backbone.refuse_unknown(np.array([-1, 256], dtype=np.int32))
    with pytest.raises(UserError, match=r"gives token 257, and the model knows 257 tokens only"):
        backbone.refuse_unknown(np.array([257], dtype=np.int32))


def test_a_model_that_does_not_run_is_one_line(made: Any, tmp_path: Path) -> None:
    llm = shutil.copytree(made("llama"), tmp_path / "llm")
    settings = json.loads((llm / "config.json").read_text()) | {"num_attention_heads": 3}
    (llm / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"^teacher\.llm: ") as told:
        load(llm, tmp_path)
    assert "\n" not in str(told.value)


def write_gguf(llm: Path, file: Path) -> None:
    """A Llama and a tokenizer of bytes as llama.cpp writes them."""
    import gguf

    config, tensors = json.loads((llm / "config.json").read_text()), load_file(llm / "model.safetensors")
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(512)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    vocabulary = json.loads((llm / "tokenizer.json").read_text())["model"]["vocab"]
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    tokens = sorted(vocabulary, key=vocabulary.get)
    tokens[-1] = "ab"
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(vocabulary))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in tensors.items():
        values = tensor.float()
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp has the two halves of a head in turns
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            values = values.view(heads, 2, -1, values.shape[1]).transpose(1, 2).reshape(values.shape)
        full = name if name.startswith("model.") else f"model.{name}"
        writer.add_tensor(names.get_name(full, try_suffixes=(".weight",)), values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_read_as_the_model_that_it_holds(made: Any, tmp_path: Path) -> None:
    write_gguf(made("llama"), tmp_path / "tiny.gguf")
    backbone = load(tmp_path / "tiny.gguf", tmp_path)
    torch.testing.assert_close(states(backbone.decoder), states(load(made("llama"), tmp_path).decoder))
    assert backbone.tokenizer("ab")["input_ids"]
    with pytest.raises(UserError, match=r"without config\.json.*name the file: .*tiny\.gguf"):
        llm_location(str(tmp_path), tmp_path)


def test_a_broken_gguf_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nothing")
    with pytest.raises(UserError, match=r"broken\.gguf"):
        llm_location(str(tmp_path / "broken.gguf"), tmp_path)
    assert not list((tmp_path / "gguf").glob("*"))


def test_weights_that_only_the_left_out_part_lacks_do_not_matter(made: Any, tmp_path: Path) -> None:
    llm = shutil.copytree(made("llava"), tmp_path / "llm")
    tensors = load_file(llm / "model.safetensors")
    vision = next(name for name in tensors if "vision" in name)
    save_file(
        {name: value for name, value in tensors.items() if name != vision}, llm / "model.safetensors", {"format": "pt"}
    )
    load(llm, tmp_path)


def test_a_prompt_must_not_change_the_positions_of_others() -> None:
    # Phi-3 computes other frequencies for a whole batch once one prompt is longer than what it was first trained on.
    long = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    config = tiny_config("phi3", rope_parameters=long, original_max_position_embeddings=64)
    assert (places(config), places(tiny_config("phi3"))) == (64, 512)
