"""What names a model: a digest of every file in its folder that decides what it computes, or its commit on a hub."""

from collections.abc import Mapping
from pathlib import Path

from recdistill.config import TeacherConfig
from recdistill.language_models.libraries import load_config
from recdistill.language_models.locations import MODULES_FILE, encoder_location, llm_location, refuse_adapter
from recdistill.storage.digests import remembered_digest
from recdistill.storage.files import read_json
from recdistill.storage.manifest import Inputs
from recdistill.storage.run_folder import fingerprint

DECIDING = {
    ".safetensors",
    ".gguf",
    ".json",
    ".jinja",
    ".model",
    ".txt",
    ".tiktoken",
    ".spm",
    ".bpe",
    ".codes",
    ".vocab",
}
"""Endings of files that are read: weights and their index, configurations, tokenizers, chat templates."""
NOT_READ = ("generation_config.json", "trainer_state.json", "requirements.txt")
"""Files with such an ending that nothing here reads."""
NOTES = ("license", "licence", "readme", "notice")
DIGITS = 16

MODELS = ("llm", "title_encoder")
"""Settings of the teacher that name a model, and the names of these models among a step's inputs."""

Digests = dict[str, str]
"""File, as seen from the model's folder → its digest; of a model on a hub its name and commit."""


def model_digests(location: str, cache: Path, key: str = "teacher.llm") -> Digests:
    """Name a model by all that decides what it computes: the whole weights, its configuration, its tokenizer.

    Args:
        location: a folder, or a name on a hub, which is named by its commit.
        cache: the user's cache, where digests of files are remembered.
        key: the setting that asks for the model, for messages.

    Raises:
        UserError: a file cannot be read, the folder holds an adapter instead of a model, or the hub does not answer.
    """
    folder = Path(location)
    if not folder.is_dir():
        return _on_hub(location, key)
    refuse_adapter(location, folder, key)
    return {
        (part / path.name).as_posix(): remembered_digest(path, cache)[:DIGITS]
        for part in (Path(), *_parts(folder))
        if (folder / part).is_dir()
        for path in sorted((folder / part).iterdir())
        if _decides(path)
    }


def encoder_digests(config: TeacherConfig, cache: Path) -> Digests:
    """Name the model that embeds the titles, file by file."""
    if config.title_encoder == "llm":
        return llm_digests(config.llm, cache)
    return model_digests(encoder_location(config.title_encoder, cache), cache, "teacher.title_encoder")


def llm_digests(llm: str, cache: Path) -> Digests:
    """Name the language model, file by file."""
    return model_digests(llm_location(llm, cache), cache)


def model_inputs(config: TeacherConfig, cache: Path) -> dict[str, Digests]:
    """The models that a teacher step reads: `llm`, `title_encoder` or both, each named file by file."""
    models = {}
    if config.reading_llm is not None:
        models["llm"] = llm_digests(config.llm, cache)
    if config.title_encoder != "llm":
        models["title_encoder"] = encoder_digests(config, cache)
    return models


def name_of(digests: Digests) -> str:
    """One short name for a model's digests."""
    return fingerprint(digests)


def changed_models(old: Inputs, new: Inputs) -> list[str]:
    """What differs in the models among a step's inputs, as it was made and as it would be today, in words."""
    return [line for name in MODELS for line in changed_files(f"teacher.{name}", old.get(name), new.get(name))]


def without_models(inputs: Inputs) -> Inputs:
    """A step's other inputs."""
    return {name: value for name, value in inputs.items() if name not in MODELS}


def changed_files(setting: str, old: object, new: object) -> list[str]:
    """What differs between the digests that a step was made with and today's, in words.

    Args:
        setting: the setting that names the model.
        old: its digests then; a text, in manifests from before whole files were read; None: no such model was read.
        new: its digests now; None: no such model is read.
    """
    if old == new:
        return []
    if isinstance(old, str):
        return [f"{setting}: an earlier version looked at parts of its files only, so they may be others today"]
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [f"{setting}: the model is {'not ' if new is None else ''}read now"]
    names = [name for name in sorted(set(old) | set(new)) if old.get(name) != new.get(name)]
    return [f"{setting}: {name} is {_change(name, old, new)}" for name in names]


def _change(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    if name not in new:
        return "not there any more"
    return "another file" if name in old else "new"


def _on_hub(location: str, key: str) -> Digests:
    """A commit names all files of a model on a hub; transformers tells it with the configuration."""
    config = load_config(location, key)
    commit = getattr(config, "_commit_hash", None)
    named = {"commit": str(commit)} if commit else {"config": fingerprint(config.to_json_string())}
    return {"hub": location} | named


def _parts(folder: Path) -> list[Path]:
    """The folders that `modules.json` names, as seen from the model's: nested ones and links too.

    What is wrong with that file is told where it is read.
    """
    if not (folder / MODULES_FILE).is_file():
        return []
    modules = read_json(folder / MODULES_FILE)
    names = [part.get("path") for part in modules if isinstance(part, dict)] if isinstance(modules, list) else []
    inside = {Path(name) for name in names if isinstance(name, str)} - {Path()}
    return sorted(path for path in inside if not path.is_absolute() and ".." not in path.parts)


def _decides(path: Path) -> bool:
    name = path.name.lower()
    if name in NOT_READ or name.startswith(NOTES) or not path.is_file():
        return False
    return any(suffix in DECIDING for suffix in Path(name).suffixes)
