"""What a sentence encoder's folder asks for: its modules, limit and prompt (sentence-transformers' files).

`modules.json` lists the modules, each with its folder; `sentence_bert_config.json` has the limit of tokens,
`1_Pooling/config.json` the pooling, `config_sentence_transformers.json` prompts. Everything that is understood is done;
everything else is refused by name, since leaving it out would give other embeddings than the model's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from recdistill.errors import UserError
from recdistill.language_models.libraries import as_user_error
from recdistill.language_models.locations import MODULES_FILE
from recdistill.language_models.pooling import POOLINGS
from recdistill.storage.files import read_json
from recdistill.storage.typed import JsonValue

KEY = "teacher.title_encoder"
TRANSFORMER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names that the file with the limit has had; the first that is there is read."""
OLD_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""One switch a mode, in the order in which several are put side by side; before there was `pooling_mode`."""
POOLED = "sentence_embedding"
LAST_STATES = {"method": "forward", "method_output_name": "last_hidden_state"}
TRANSFORMER_KEYS = {
    "max_seq_length",
    "do_lower_case",
    "transformer_task",
    "modality_config",
    "module_output_name",
    "processor_kwargs",
    "tokenizer_args",
}
"""What is read of the file with the limit; `module_output_name` follows from the modality."""


@dataclass(frozen=True)
class Pooling:
    """Tokens' states to one vector; without the prompt's tokens where `include_prompt` is False."""

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A linear layer and an activation (a class of torch.nn), with weights in `folder`."""

    folder: str
    activation: str
    residual: bool


@dataclass(frozen=True)
class LayerNorm:
    """A layer norm with weights in `folder`."""

    folder: str


@dataclass(frozen=True)
class Normalize:
    """Scale to length 1."""


Behind = Dense | LayerNorm | Normalize
"""Modules behind the pooling."""


@dataclass(frozen=True)
class Recipe:
    """How texts become embeddings.

    Attributes:
        pooling: how a text's tokens become one vector; its default and the next one's are for files that do not say.
        behind: what is done with that vector, in order.
        max_tokens: tokens of a text that are read, special ones included; None: as the model's own files say.
        transformer: the folder of the transformer inside the model's; empty: the model's own.
        lower_case: texts are put into lower case first.
        tokenizer_options: options with which the tokenizer is loaded.
        prompt: what stands before each text.
        truncate_dim: dimensions kept of the result; None: all.
        stated: whether the folder says all this; else it is this package's choice.
    """

    pooling: Pooling = Pooling(("mean",))
    behind: tuple[Behind, ...] = (Normalize(),)
    max_tokens: int | None = None
    transformer: str = ""
    lower_case: bool = False
    tokenizer_options: dict[str, JsonValue] = field(default_factory=dict)
    prompt: str = ""
    truncate_dim: int | None = None
    stated: bool = True

    def words(self) -> str:
        """What is done with the tokens' states, in words: `mean, normalize`."""
        return ", ".join(["+".join(self.pooling.modes), *(type(module).__name__.lower() for module in self.behind)])


class EncoderFiles:
    """The files of an encoder in a folder or on a hub.

    Args:
        location: the folder or hub name.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def find(self, name: str) -> Path | None:
        """Where a file lies, named as seen from the model's folder; None where there is none.

        Raises:
            UserError: the hub does not answer.
        """
        folder = Path(self.location)
        if folder.is_dir():
            return folder / name if (folder / name).is_file() else None
        from transformers.utils import cached_file

        with as_user_error(self.location, KEY):
            found = cached_file(self.location, name, _raise_exceptions_for_missing_entries=False)
        return None if found is None else Path(found)

    def read(self, name: str) -> dict[str, JsonValue]:
        """A JSON object; empty where the file is not there.

        Raises:
            UserError: it holds something else.
        """
        path = self.find(name)
        content = {} if path is None else read_json(path)
        if not isinstance(content, dict):
            raise self.refusal(f"{name} is not a JSON object")
        return content

    def section(self, config: Mapping[str, JsonValue], key: str, name: str) -> dict[str, JsonValue]:
        """A value that must be an object; empty where it is missing or null.

        Raises:
            UserError: it is something else.
        """
        found = config.get(key) or {}
        if not isinstance(found, dict):
            raise self.refusal(f"{name}: {key} is not a JSON object")
        return found

    def whole(self, config: Mapping[str, JsonValue], key: str, name: str) -> int | None:
        """A value that must be a whole number; None where it is missing or null.

        Raises:
            UserError: it is something else.
        """
        found = config.get(key)
        if found is not None and (not isinstance(found, int | float) or found != int(found)):
            raise self.refusal(f"{name}: {key} {found!r} is not a whole number")
        return None if found is None else int(found)

    def refusal(self, reason: str) -> UserError:
        """The error that says why this encoder is not read."""
        return UserError(f"{KEY}: {self.location}: {reason}")


def read_recipe(location: str) -> Recipe:
    """Read what an encoder's files ask for.

    Raises:
        UserError: a file is broken, or asks for something that is not known here.
    """
    files = EncoderFiles(location)
    path = files.find(MODULES_FILE)
    if path is None:
        return Recipe(stated=False)
    listed = read_json(path)
    if not isinstance(listed, list) or not all(isinstance(part, dict) for part in listed):
        raise files.refusal(f"{MODULES_FILE} is not a list of modules")
    kinds = [_kind(files, part) for part in listed]
    if not kinds or kinds[0] != "Transformer":
        raise files.refusal(f"its first module is {kinds[0] if kinds else 'missing'}; only a Transformer is known")
    folders = [_folder(files, part) for part in listed]
    modules = [_module(files, kind, folder) for kind, folder in zip(kinds[1:], folders[1:], strict=True)]
    pooling = modules[0] if modules else None
    behind = tuple(module for module in modules[1:] if module is not None and not isinstance(module, Pooling))
    if not isinstance(pooling, Pooling) or any(isinstance(module, Pooling) for module in modules[1:]):
        raise files.refusal("its tokens' states are not brought together by one Pooling right behind the Transformer")
    return _with_model(files, _with_transformer(files, Recipe(pooling, behind, transformer=folders[0])))


def _kind(files: EncoderFiles, part: Mapping[str, JsonValue]) -> str:
    """The class of a module of sentence-transformers; another package's would be remote code."""
    package, _, kind = str(part.get("type")).rpartition(".")
    if package.split(".")[0] != "sentence_transformers":
        raise files.refusal(f"its module {part.get('type')} is no part of sentence-transformers; other code is not run")
    return kind


def _folder(files: EncoderFiles, part: Mapping[str, JsonValue]) -> str:
    folder = str(part.get("path", ""))
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise files.refusal(f"{MODULES_FILE} names {folder}, which does not lie in the model's folder")
    return folder


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _module(files: EncoderFiles, kind: str, folder: str) -> Pooling | Behind | None:
    """One module behind the transformer; None for one that does nothing outside training."""
    config = files.read(_inside(folder, "config.json"))
    for name in ("module_input_name", "module_output_name"):
        if config.get(name) not in (None, POOLED):
            raise files.refusal(f"{_inside(folder, 'config.json')}: {name} {config[name]} is not known")
    if kind == "Pooling":
        return _pooling(files, folder, config)
    if kind == "Dense":
        activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
        return Dense(folder, _activation(files, activation), bool(config.get("use_residual", False)))
    if kind == "LayerNorm":
        return LayerNorm(folder)
    if kind == "Normalize":
        return Normalize()
    if kind == "Dropout":
        return None
    raise files.refusal(
        f"its module {kind} is not known (known: Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout)"
    )


def _pooling(files: EncoderFiles, folder: str, config: Mapping[str, JsonValue]) -> Pooling:
    if not config:
        raise files.refusal(f"{_inside(folder, 'config.json')} is missing or empty, so its pooling is not known")
    asked = config.get("pooling_mode")
    if asked is None:
        asked = [mode for switch, mode in OLD_POOLINGS.items() if config.get(switch)] or ["mean"]
    modes = []
    for mode in asked if isinstance(asked, list) else [asked]:
        if not isinstance(mode, str) or mode not in POOLINGS:
            raise files.refusal(f"its pooling {mode!r} is not known (known: {', '.join(POOLINGS)})")
        modes.append(mode)
    return Pooling(tuple(modes), bool(config.get("include_prompt", True)))


def _activation(files: EncoderFiles, path: str) -> str:
    """The name of a class of torch.nn."""
    from torch import nn

    name = path.rpartition(".")[2]
    found = getattr(nn, name, None)
    if not path.startswith("torch.nn.") or not isinstance(found, type) or not issubclass(found, nn.Module):
        raise files.refusal(f"its activation {path} is not one of torch.nn")
    return name


def _with_transformer(files: EncoderFiles, recipe: Recipe) -> Recipe:
    """With limit, lower case and tokenizer's options from `sentence_bert_config.json`."""
    names = [_inside(recipe.transformer, name) for name in TRANSFORMER_CONFIGS]
    name = next((name for name in names if files.find(name)), names[0])
    config = files.read(name)
    options = files.section(config, "tokenizer_args", name) | files.section(config, "processor_kwargs", name)
    if config.get("transformer_task", "feature-extraction") != "feature-extraction":
        raise files.refusal(f"{name}: transformer_task {config['transformer_task']} is not known")
    text = files.section(config, "modality_config", name).get("text", LAST_STATES)
    if text != LAST_STATES:
        raise files.refusal(f"{name}: text is read by {json.dumps(text)}, not by {json.dumps(LAST_STATES)}")
    for key, value in config.items():
        if key not in TRANSFORMER_KEYS and value not in (None, {}, False):
            raise files.refusal(f"{name}: {key} is not known")
    # How a batch is padded does not matter here, and no remote code is run.
    left_out = ("trust_remote_code", "padding_side", "padding")
    options = {key: value for key, value in options.items() if key not in left_out}
    return replace(
        recipe,
        max_tokens=files.whole(config, "max_seq_length", name),
        lower_case=bool(config.get("do_lower_case", False)),
        tokenizer_options=options,
    )


def _with_model(files: EncoderFiles, recipe: Recipe) -> Recipe:
    """With the default prompt and the dimensions kept, as `SentenceTransformer.encode` reads them."""
    file = "config_sentence_transformers.json"
    config = files.read(file)
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise files.refusal(f"it is a {config['model_type']}, not a sentence encoder")
    prompts: dict[str, JsonValue] = {"query": None, "document": None}
    prompts |= files.section(config, "prompts", file)
    name = config.get("default_prompt_name")
    if name is not None and (not isinstance(name, str) or name not in prompts):
        raise files.refusal(f"its default_prompt_name {name!r} is none of its prompts ({', '.join(prompts)})")
    prompt = prompts[name] or "" if name is not None else ""
    if not isinstance(prompt, str):
        raise files.refusal(f"{file}: the prompt {name!r} is no text")
    return replace(recipe, prompt=prompt, truncate_dim=files.whole(config, "truncate_dim", file))
