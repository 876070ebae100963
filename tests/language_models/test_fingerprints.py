"""A model is named by every file that decides what it computes, and a change is told by the file's name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.fingerprints import changed_files, changed_models, model_digests, model_inputs, name_of
from recdistill.language_models.titles import title_embeddings

FILES = {
    "config.json": "{}",
    "model.safetensors": "a" * 3_000_000,
    "tokenizer.json": "{}",
    "tokenizer.model": "m",
    "tokenizer_config.json": "{}",
    "special_tokens_map.json": "{}",
    "added_tokens.json": "{}",
    "vocab.txt": "v",
    "vocab.json": "{}",
    "merges.txt": "m",
    "spiece.model": "s",
    "sentencepiece.bpe.model": "s",
    "chat_template.jinja": "c",
    "model-00001-of-00002.safetensors": "1",
    "model-00002-of-00002.safetensors": "2",
    "model.safetensors.index.json": "{}",
    "model.Q4_1.gguf": "g",
    "sentence_bert_config.json": "{}",
    "config_sentence_transformers.json": "{}",
    "modules.json": json.dumps([{"path": ""}, {"path": "1_Pooling"}]),
    "1_Pooling/config.json": "{}",
}
"""Files of language models and title encoders that decide what comes out."""
PARTS = "an earlier version looked at parts of its files only, so they may be others today"
NOTHING_READS = (
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "pytorch_model.bin",
    "generation_config.json",
    "onnx/model.json",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "model"


@pytest.fixture
def digests(model: Path, tmp_path: Path) -> Callable[[], dict[str, str]]:
    return lambda: model_digests(str(model), tmp_path / "cache")


def test_all_that_decides_is_named_and_nothing_else(model: Path, digests: Callable[[], dict[str, str]]) -> None:
    before = digests()
    for name in NOTHING_READS:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("x")
    assert set(digests()) == set(FILES)
    assert digests() == before


@pytest.mark.parametrize("name", sorted(set(FILES) - {"modules.json"}))
def test_a_file_changed_in_place_is_another_model(
    model: Path, digests: Callable[[], dict[str, str]], name: str
) -> None:
    before = digests()
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    assert [key for key, value in digests().items() if before[key] != value] == [name]
    assert name_of(digests()) != name_of(before)
    assert changed_files("teacher.llm", before, digests()) == [f"teacher.llm: {name} is another file"]


def test_nested_and_linked_module_folders_are_named_too(
    model: Path, digests: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    """Their files decide what is computed, and were not looked at."""
    modules = [{"path": name} for name in ("", "1_Pooling", "parts/2_Dense", "3_Linked")]
    (model / "modules.json").write_text(json.dumps(modules))
    for folder in (model / "parts" / "2_Dense", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"1")
    (model / "3_Linked").symlink_to(tmp_path / "elsewhere")
    before = digests()
    assert {"parts/2_Dense/model.safetensors", "3_Linked/model.safetensors", "1_Pooling/config.json"} <= set(before)
    for name in ("parts/2_Dense", "3_Linked"):
        (model / name / "model.safetensors").write_bytes(b"2")
        assert digests()[f"{name}/model.safetensors"] != before[f"{name}/model.safetensors"]


def test_the_folder_may_be_anywhere(model: Path, digests: Callable[[], dict[str, str]], tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    assert model_digests(str(copy), tmp_path / "cache") == digests()


def test_files_that_come_and_go_are_told(digests: Callable[[], dict[str, str]], model: Path) -> None:
    before = digests()
    (model / "merges.txt").unlink()
    (model / "vocab.bpe").write_text("x")
    assert changed_files("teacher.llm", before, digests()) == [
        "teacher.llm: merges.txt is not there any more",
        "teacher.llm: vocab.bpe is new",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        (
            "0123456789abcdef",
            {"a": "1"},
            [PARTS],
        ),
        (None, {"a": "1"}, ["the model is read now"]),
        ({"a": "1"}, None, ["the model is not read now"]),
    ],
)
def test_what_earlier_manifests_hold(old: Any, new: Any, told: list[str]) -> None:
    found = changed_models({"title_encoder": old, "seed": "1"}, {"title_encoder": new, "seed": "2"})
    assert found == [f"teacher.title_encoder: {words}" for words in told]


def test_a_folder_of_an_adapter_is_refused(model: Path, digests: Callable[[], dict[str, str]]) -> None:
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"^teacher\.llm: .* holds a PEFT adapter; merge it"):
        digests()


def test_modules_that_are_no_json_are_named(model: Path, digests: Callable[[], dict[str, str]]) -> None:
    (model / "modules.json").write_text("[{")
    with pytest.raises(UserError, match=r"modules\.json:1: not valid JSON"):
        digests()


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        ({}, {"llm", "title_encoder"}),
        ({"title_encoder": "llm"}, {"llm"}),
        ({"kind": "second_student", "title_decay": 0.0}, {"title_encoder"}),
    ],
)
def test_a_teacher_reads_these_models(
    tiny_llm: Path, tmp_path: Path, settings: dict[str, object], models: set[str]
) -> None:
    config = TeacherConfig(**({"llm": str(tiny_llm), "title_encoder": str(tiny_llm)} | settings))  # type: ignore[arg-type]
    assert set(model_inputs(config, tmp_path)) == models


def test_titles_of_a_fine_tuned_model_are_its_own(tiny_llm: Path, tmp_path: Path) -> None:
    """A model that differs from its base in one weight in the middle of the file never gets the base's embeddings."""
    llm = shutil.copytree(tiny_llm, tmp_path / "llm")
    config, titles = TeacherConfig(llm=str(llm), title_encoder="llm"), ["", "Heat", "Big", "Ran"]
    base = title_embeddings(config, titles, tmp_path / "cache", "cpu")
    tensors = load_file(llm / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] *= -1
    save_file(tensors, llm / "model.safetensors", {"format": "pt"})
    assert (title_embeddings(config, titles, tmp_path / "cache", "cpu") - base).abs().max() > 1e-3
