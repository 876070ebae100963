"""Title embeddings by a sentence encoder, checked against the model itself, one text at a time."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.teacher.sentences import embed_sentences, encoder_location
from recdistill.teacher.titles import title_embeddings

TITLES = ["", "heat", "toy story", "a", "heat"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised two-block BERT whose words are letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = {"[PAD]": 0, "[UNK]": 1} | {chr(ord("a") + index): index + 2 for index in range(26)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), initializer_range=0.5, **shape)).save_pretrained(folder)
    return folder


@pytest.fixture
def found(encoder: Path) -> torch.Tensor:
    return embed_sentences(str(encoder), TITLES, "cpu")


def test_each_is_the_mean_of_its_own_states_whatever_stands_beside_it(encoder: Path, found: torch.Tensor) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    for row, title in enumerate(TITLES[1:], start=1):
        with torch.inference_mode():
            states = model(**tokenizer([title], return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(dim=0)
        torch.testing.assert_close(found[row], mean / mean.norm(), atol=1e-5, rtol=1e-5)


def test_padding_is_zero_and_equal_titles_are_equal(found: torch.Tensor) -> None:
    assert not found[0].any()
    assert torch.equal(found[1], found[4])
    assert not torch.allclose(found[1], found[2], atol=1e-2)


def test_the_encoder_is_a_setting_of_the_teacher(encoder: Path, found: torch.Tensor, tmp_path: Path) -> None:
    config = TeacherConfig(title_encoder=str(encoder))
    made = title_embeddings(config, TITLES, tmp_path, "cpu")
    torch.testing.assert_close(made, found)
    assert torch.equal(title_embeddings(config, TITLES, tmp_path, "cpu"), made)  # from the cache
    assert len(list((tmp_path / "title_embeddings").iterdir())) == 1
    title_embeddings(replace(config, title_encoder=str(encoder)), [*TITLES, "b"], tmp_path, "cpu")
    assert len(list((tmp_path / "title_embeddings").iterdir())) == 2


def test_an_encoder_that_was_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recdistill fetch minilm"):
        encoder_location("minilm", tmp_path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"teacher\.title_encoder"):
        encoder_location(str(tmp_path), tmp_path)


def test_pickled_weights_are_not_loaded(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"teacher\.title_encoder: .*safetensors[^\n]*$"):
        embed_sentences(str(folder), TITLES, "cpu")


def test_a_package_that_is_not_there_is_told_in_one_line(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise ImportError("it needs sentencepiece\n\nand many more words")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", missing)
    with pytest.raises(UserError, match=r"^teacher\.title_encoder: .*: it needs sentencepiece$"):
        embed_sentences(str(encoder), TITLES, "cpu")


def without(encoder: Path, folder: Path, part: str) -> str:
    """A copy of the encoder whose file lacks the tensors with `part` in their names."""
    shutil.copytree(encoder, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if part not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def test_weights_that_are_not_there_are_not_made_up(encoder: Path, tmp_path: Path) -> None:
    folder = without(encoder, tmp_path / "encoder", "layer.1.attention.self.query.weight")
    with pytest.raises(UserError, match=r"teacher\.title_encoder: .* lack 1 of the model's tensors, .*query"):
        embed_sentences(folder, TITLES, "cpu")


def test_the_pooler_may_be_missing_since_nothing_reads_it(encoder: Path, found: torch.Tensor, tmp_path: Path) -> None:
    torch.testing.assert_close(embed_sentences(without(encoder, tmp_path / "encoder", "pooler"), TITLES, "cpu"), found)


def test_a_path_may_begin_with_the_home_folder(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(encoder.parent))
    assert encoder_location(f"~/{encoder.name}", Path("cache")) == str(encoder)
