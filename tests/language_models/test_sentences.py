"""Title embeddings by a sentence encoder, checked against the model itself, one text at a time."""

import json
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
from recdistill.language_models.encoder_recipe import Normalize, Pooling, Recipe
from recdistill.language_models.locations import encoder_location
from recdistill.language_models.sentences import BATCH_TOKENS, _passes, embed_sentences, recipe_of
from recdistill.language_models.titles import tell_titles, title_embeddings, title_facts

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
    return embed_sentences(str(encoder), TITLES, "cpu").rows


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
    assert len(list((tmp_path / "title_embeddings").glob("*.safetensors"))) == 1
    title_embeddings(replace(config, title_encoder=str(encoder)), [*TITLES, "b"], tmp_path, "cpu")
    assert len(list((tmp_path / "title_embeddings").glob("*.safetensors"))) == 2


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
    torch.testing.assert_close(
        embed_sentences(without(encoder, tmp_path / "encoder", "pooler"), TITLES, "cpu").rows, found
    )


def test_a_path_may_begin_with_the_home_folder(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(encoder.parent))
    assert encoder_location(f"~/{encoder.name}", Path("cache")) == str(encoder)


def copied(encoder: Path, folder: Path, **files: Any) -> str:
    """A copy of the encoder with further files, JSON."""
    shutil.copytree(encoder, folder)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return str(folder)


MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
LONG = ["", "a", "toy story", "a very long title of many words"]


def one_by_one(encoder: Path, texts: list[str]) -> list[torch.Tensor]:
    """The states of each text's tokens, read alone."""
    from transformers import AutoModel

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    with torch.inference_mode():
        return [model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0] for text in texts]


@pytest.mark.parametrize(
    ("files", "read", "pooled"),
    [
        ({"1_Pooling/config.json": {"pooling_mode_cls_token": True}}, lambda text: text, lambda s: s[0]),
        (
            {"1_Pooling/config.json": {"pooling_mode": ["max", "lasttoken"]}},
            lambda text: text,
            lambda s: torch.cat([s.amax(dim=0), s[-1]]),
        ),
        ({"sentence_bert_config.json": {"max_seq_length": 5}}, lambda text: text[:5], lambda s: s.mean(dim=0)),
        (
            {"config_sentence_transformers.json": {"prompts": {"t": "itemx"}, "default_prompt_name": "t"}},
            lambda text: f"itemx{text}",
            lambda s: s.mean(dim=0),
        ),
        (
            {
                "config_sentence_transformers.json": {"prompts": {"t": "itemx"}, "default_prompt_name": "t"},
                "1_Pooling/config.json": {"pooling_mode": "mean", "include_prompt": False},
            },
            lambda text: f"itemx{text}",
            lambda s: s[5:].mean(dim=0),
        ),
        ({"config_sentence_transformers.json": {"truncate_dim": 3}}, lambda text: text, lambda s: s.mean(dim=0)[:3]),
    ],
)
def test_the_folder_decides_how_texts_become_embeddings(
    encoder: Path, tmp_path: Path, files: dict[str, Any], read: Any, pooled: Any
) -> None:
    plain = {"modules.json": MODULES, "1_Pooling/config.json": {"pooling_mode": "mean"}}
    found = embed_sentences(copied(encoder, tmp_path / "encoder", **(plain | files)), LONG, "cpu")
    expected = [pooled(states) for states in one_by_one(encoder, [read(text) for text in LONG[1:]])]
    torch.testing.assert_close(found.rows[1:], torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_lower_case_is_made_where_the_folder_asks(encoder: Path, found: torch.Tensor, tmp_path: Path) -> None:
    shouted = [title.upper() for title in TITLES]
    asked = {"modules.json": MODULES, "1_Pooling/config.json": {"pooling_mode": "mean"}}
    folder = copied(encoder, tmp_path / "one", **asked, **{"sentence_bert_config.json": {"do_lower_case": True}})
    plain = copied(encoder, tmp_path / "other", **asked)
    assert torch.equal(embed_sentences(folder, shouted, "cpu").rows, embed_sentences(plain, TITLES, "cpu").rows)


@pytest.mark.parametrize("change", [{"pad_token": None}, {"padding_side": "left"}])
def test_the_tokenizers_own_padding_does_not_matter(
    encoder: Path, found: torch.Tensor, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, value in change.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)
    torch.testing.assert_close(embed_sentences(str(folder), TITLES, "cpu").rows, found)


def test_a_decoder_reads_each_text_as_if_alone(tiny_llm: Path, tmp_path: Path) -> None:
    files = {"modules.json": MODULES, "1_Pooling/config.json": {"pooling_mode": "lasttoken"}}
    found = embed_sentences(copied(tiny_llm, tmp_path / "decoder", **files), LONG, "cpu")
    expected = [states[-1] for states in one_by_one(tiny_llm, LONG[1:])]
    torch.testing.assert_close(found.rows[1:], torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_texts_are_cut_at_the_models_own_places_and_counted(encoder: Path) -> None:
    texts = ["", "a" * 600, "a" * 512, "b" * 700, "b"]
    found = embed_sentences(str(encoder), texts, "cpu")
    assert (found.max_tokens, found.cut, found.texts) == (512, 2, 4)
    assert torch.equal(found.rows[1], found.rows[2])


def test_long_texts_are_read_in_passes_of_a_stated_number_of_tokens() -> None:
    passes = list(_passes([3, 0, BATCH_TOKENS // 2, BATCH_TOKENS, BATCH_TOKENS + 5, 1]))
    assert passes == [[0, 2], [3], [4], [5]]
    assert list(_passes([256] * 129)) == [list(range(128)), [128]]


def test_what_is_not_read_is_told_once_made_and_again_from_the_cache(
    encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, texts = TeacherConfig(title_encoder=str(encoder)), ["", "a" * 600, "b"]
    for _ in range(2):
        caplog.clear()
        facts = title_facts(config, texts, tmp_path, "cpu")
        tell_titles(config.title_encoder, facts)
        assert f"{encoder} has no modules.json" in caplog.text
        assert f"1 of 2 texts are longer than the 512 tokens that {encoder} reads" in caplog.text
    assert facts == {
        "pooling": "mean, normalize",
        "max_tokens": 512,
        "texts": 2,
        "cut": 1,
        "prompt": "",
        "modules_file": False,
        "weights": {"kind": "pretrained", "matrices": 0, "values": 0, "correlation": None},
    }


def test_minilm_is_read_as_its_own_files_ask_though_they_are_not_fetched(encoder: Path) -> None:
    assert recipe_of("minilm", str(encoder)) == Recipe(Pooling(("mean",)), (Normalize(),), max_tokens=256)
    assert not recipe_of(str(encoder), str(encoder)).stated


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_an_encoder_without_what_it_learned_reads_otherwise(encoder: Path, found: torch.Tensor, kind: str) -> None:
    other = embed_sentences(str(encoder), TITLES, "cpu", weights=kind)  # type: ignore[arg-type]
    assert other.weights["kind"] == kind
    assert (other.rows - found)[1:].abs().amax(dim=1).min() > 1e-2
    assert torch.equal(other.rows[1], other.rows[4])
