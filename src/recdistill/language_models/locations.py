"""Where the models lie that the teacher's settings name: a folder, or a name that transformers looks for on a hub."""

from pathlib import Path

from recdistill.errors import UserError
from recdistill.language_models.smollm2 import smollm2_folder

FETCHED = "minilm"
"""The encoder that `recdistill fetch` knows: all-MiniLM-L6-v2, 384 wide."""
MODULES_FILE = "modules.json"
"""The parts of a sentence encoder, in order, each with its folder (sentence-transformers)."""


def llm_location(llm: str, cache: Path) -> str:
    """The folder or hub name that transformers loads for `teacher.llm`.

    Raises:
        UserError: SmolLM2 has not been fetched, or a path does not hold a model.
    """
    if llm == "smollm2":
        return str(smollm2_folder(cache / "smollm2"))
    folder = Path(llm).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"teacher.llm: {llm} is a folder without config.json, so not a transformers model")
        return str(folder)
    if llm.startswith((".", "/", "~")) or llm.count("/") > 1:
        raise UserError(f"teacher.llm: {llm}: no such folder")
    return llm


def encoder_location(encoder: str, cache: Path) -> str:
    """The folder or hub name that transformers loads for `teacher.title_encoder`.

    Raises:
        UserError: it was not fetched, or a path holds no model.
    """
    if encoder == FETCHED:
        folder = cache / FETCHED
        if not (folder / "model.safetensors").is_file():
            raise UserError("teacher.title_encoder: minilm is not in the cache; run `recdistill fetch minilm`")
        return str(folder)
    folder = Path(encoder).expanduser()
    if folder.is_dir() or encoder.startswith((".", "/", "~")):
        # An older encoder's transformer has a folder of its own, named by `modules.json`.
        if not any((folder / name).is_file() for name in ("config.json", MODULES_FILE)):
            raise UserError(f"teacher.title_encoder: {encoder}: no such folder with a transformers model")
        return str(folder)
    return encoder
