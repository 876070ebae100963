"""What an encoder's files ask for, in each form that these files have had, and what is refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from recdistill.errors import UserError
from recdistill.language_models.encoder_modules import load_module
from recdistill.language_models.encoder_recipe import (
    Dense,
    EncoderFiles,
    LayerNorm,
    Normalize,
    Pooling,
    Recipe,
    read_recipe,
)

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
}
POOLING = "1_Pooling/config.json"
LIMIT = "sentence_bert_config.json"
MODEL = "config_sentence_transformers.json"
NEW_LIMIT = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
"""As sentence-transformers 6.2 writes it; its limit stands with the tokenizer."""


def write(folder: Path, *kinds: str, transformer: str = "", files: Mapping[str, Any] | None = None) -> str:
    """A folder whose `modules.json` lists a Transformer and `kinds`, with further JSON files."""
    names = [kind if "." in kind else OLD + kind for kind in ("Transformer", *kinds)]
    paths = [transformer, *(f"{place}_{name.rpartition('.')[2]}" for place, name in enumerate(names[1:], start=1))]
    modules = [{"idx": i, "name": str(i), "path": paths[i], "type": name} for i, name in enumerate(names)]
    for name, content in ({"modules.json": modules, POOLING: {"pooling_mode": "mean"}} | dict(files or {})).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return str(folder)


def switches(*modes: str) -> dict[str, Any]:
    """The pooling's old form, as saved by sentence-transformers 2."""
    known = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": 4} | {f"pooling_mode_{mode}": mode in modes for mode in known}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (switches("mean_tokens"), Pooling(("mean",))),
        (switches("cls_token"), Pooling(("cls",))),
        (switches("max_tokens"), Pooling(("max",))),
        (switches("mean_sqrt_len_tokens"), Pooling(("mean_sqrt_len_tokens",))),
        (switches("weightedmean_tokens"), Pooling(("weightedmean",))),
        (switches("lasttoken"), Pooling(("lasttoken",))),
        (switches("mean_tokens", "max_tokens", "cls_token"), Pooling(("cls", "max", "mean"))),
        (switches(), Pooling(("mean",))),
        (switches("cls_token") | {"include_prompt": False}, Pooling(("cls",), include_prompt=False)),
        ({"embedding_dimension": 4, "pooling_mode": "lasttoken", "include_prompt": True}, Pooling(("lasttoken",))),
        ({"embedding_dimension": 4, "pooling_mode": ["mean", "cls"]}, Pooling(("mean", "cls"))),
        (switches("cls_token") | {"pooling_mode": "max"}, Pooling(("max",))),
    ],
)
def test_pooling(tmp_path: Path, content: dict[str, Any], expected: Pooling) -> None:
    assert read_recipe(write(tmp_path, "Pooling", files={POOLING: content})).pooling == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({LIMIT: {"max_seq_length": 128, "do_lower_case": False}}, {"max_tokens": 128}),
        ({LIMIT: {"max_seq_length": None, "do_lower_case": True}}, {"lower_case": True}),
        ({"sentence_roberta_config.json": {"max_seq_length": 12}}, {"max_tokens": 12}),
        ({LIMIT: NEW_LIMIT}, {}),
        (
            {LIMIT: {"tokenizer_args": {"use_fast": True, "padding_side": "left", "trust_remote_code": True}}},
            {"tokenizer_options": {"use_fast": True}},
        ),
        ({MODEL: {"prompts": {"query": "q: ", "title": "t: "}, "default_prompt_name": None}}, {}),
        ({MODEL: {"prompts": {"query": "q: ", "title": "t: "}, "default_prompt_name": "title"}}, {"prompt": "t: "}),
        ({MODEL: {"default_prompt_name": "query"}}, {"prompt": ""}),
        ({MODEL: {"__version__": {}, "similarity_fn_name": "cosine", "truncate_dim": 32}}, {"truncate_dim": 32}),
    ],
)
def test_limit_and_prompt(tmp_path: Path, files: dict[str, Any], expected: dict[str, Any]) -> None:
    location = write(tmp_path, "Pooling", "Normalize", files=files)
    assert read_recipe(location) == Recipe(Pooling(("mean",)), (Normalize(),), **expected)


def test_modules_in_their_order_by_their_old_and_new_names(tmp_path: Path) -> None:
    tanh, none = {"activation_function": "torch.nn.modules.activation.Tanh"}, {"use_residual": True}
    kinds = [NEW["Pooling"], "Dropout", NEW["Dense"], NEW["Normalize"], "LayerNorm", "Dense"]
    location = write(tmp_path, *kinds, files={"3_Dense/config.json": tanh, "6_Dense/config.json": none})
    assert read_recipe(location).behind == (
        Dense("3_Dense", "Tanh", residual=False),
        Normalize(),
        LayerNorm("5_LayerNorm"),
        Dense("6_Dense", "Tanh", residual=True),
    )


def test_an_old_folder_has_its_transformer_inside(tmp_path: Path) -> None:
    location = write(tmp_path, "Pooling", transformer="0_BERT", files={f"0_BERT/{LIMIT}": {"max_seq_length": 9}})
    recipe = read_recipe(location)
    assert (recipe.transformer, recipe.max_tokens) == ("0_BERT", 9)


def test_without_modules_the_mean_is_taken_and_that_is_no_statement_of_the_model(tmp_path: Path) -> None:
    recipe = read_recipe(str(tmp_path))
    assert (recipe.pooling, recipe.behind, recipe.stated) == (Pooling(("mean",)), (Normalize(),), False)
    assert recipe.words() == "mean, normalize"


ONE, DENSE = ["Pooling"], ["Pooling", "Dense"]
REFUSED: list[tuple[list[str], dict[str, Any], str]] = [
    (["Pooling", "CNN"], {}, "its module CNN is not known"),
    (["Pooling", "Router"], {}, "its module Router is not known"),
    (["WeightedLayerPooling", "Pooling"], {}, "its module WeightedLayerPooling is not known"),
    (["Pooling", "somebody.code.Block"], {}, "its module somebody.code.Block is no part of sentence-transformers"),
    ([], {}, "are not brought together by one Pooling"),
    (["Normalize"], {}, "are not brought together by one Pooling"),
    (["Pooling", "Pooling"], {"2_Pooling/config.json": {"pooling_mode": "cls"}}, "by one Pooling"),
    (ONE, {POOLING: {}}, "1_Pooling/config.json is missing or empty"),
    (ONE, {POOLING: {"pooling_mode": "median"}}, "its pooling 'median' is not known"),
    (ONE, {POOLING: []}, "1_Pooling/config.json is not a JSON object"),
    (ONE, {"modules.json": {}}, "modules.json is not a list of modules"),
    (ONE, {"modules.json": []}, "its first module is missing"),
    (ONE, {"modules.json": [{"type": f"{OLD}WordEmbeddings", "path": ""}]}, "its first module is WordEmbeddings"),
    (ONE, {"modules.json": [{"type": f"{OLD}Transformer", "path": "../up"}]}, "names ../up, which does not lie in"),
    (ONE, {LIMIT: {"query_expansion": {"length": 32}}}, "query_expansion is not known"),
    (ONE, {LIMIT: {"model_args": {"rotary": 2}}}, "model_args is not known"),
    (ONE, {LIMIT: {"transformer_task": "fill-mask"}}, "transformer_task fill-mask is not known"),
    (ONE, {LIMIT: {"modality_config": {"text": {"method": "get_text_features"}}}}, "text is read by"),
    (ONE, {MODEL: {"model_type": "CrossEncoder"}}, "it is a CrossEncoder, not a sentence encoder"),
    (ONE, {MODEL: {"default_prompt_name": "x"}}, "default_prompt_name 'x' is none of its prompts"),
    (DENSE, {"2_Dense/config.json": {"activation_function": "os.system"}}, "its activation os.system is not"),
    (DENSE, {"2_Dense/config.json": {"activation_function": "torch.nn.Parameter"}}, "its activation torch.nn.Par"),
    (DENSE, {"2_Dense/config.json": {"module_input_name": "token_embeddings"}}, "module_input_name token_embeddings"),
]


@pytest.mark.parametrize(("kinds", "files", "reason"), REFUSED)
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, kinds: list[str], files: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError) as error:
        read_recipe(write(tmp_path, *kinds, files=files))
    assert str(error.value).startswith(f"teacher.title_encoder: {tmp_path}: ")
    assert reason in str(error.value)


def weights(folder: Path, **tensors: torch.Tensor) -> EncoderFiles:
    folder.mkdir(parents=True)
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return EncoderFiles(str(folder.parent))


def test_a_dense_module_is_its_layer_activation_and_residual(tmp_path: Path) -> None:
    linear, bias, residual, x = torch.randn(3, 4), torch.randn(3), torch.randn(3, 4), torch.randn(5, 4)
    files = weights(tmp_path / "2", linear__weight=linear, linear__bias=bias, residual__weight=residual)
    plain = torch.tanh(x @ linear.T + bias)
    torch.testing.assert_close(load_module(Dense("2", "Tanh", residual=False), files, "cpu")(x), plain)
    torch.testing.assert_close(load_module(Dense("2", "Tanh", residual=True), files, "cpu")(x), plain + x @ residual.T)
    square = torch.randn(4, 4)
    files = weights(tmp_path / "3", linear__weight=square)
    torch.testing.assert_close(load_module(Dense("3", "Identity", residual=True), files, "cpu")(x), x @ square.T + x)


def test_a_layer_norm(tmp_path: Path) -> None:
    norm = torch.nn.LayerNorm(4)
    torch.nn.init.normal_(norm.weight)
    files = weights(tmp_path / "2", norm__weight=norm.weight.detach(), norm__bias=norm.bias.detach())
    x = torch.randn(5, 4)
    torch.testing.assert_close(load_module(LayerNorm("2"), files, "cpu")(x), norm(x))


def test_weights_that_are_pickled_or_lacking_are_told(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match=r"2 has no model\.safetensors; no pickled weights are loaded"):
        load_module(Dense("2", "Tanh", residual=False), EncoderFiles(str(tmp_path)), "cpu")
    files = weights(tmp_path / "3", bias=torch.zeros(1))
    with pytest.raises(UserError, match=r"3/model\.safetensors lacks linear\.weight"):
        load_module(Dense("3", "Tanh", residual=False), files, "cpu")
