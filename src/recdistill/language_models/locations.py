"""Where the models lie that the teacher's settings name: a folder, or a name that transformers looks for on a hub."""

from pathlib import Path

from recdistill.data.fetch import check_fetched
from recdistill.errors import UserError
from recdistill.language_models.gguf import GGUF, gguf_folder
from recdistill.language_models.smollm2 import smollm2_folder

FETCHED = "minilm"
"""The encoder that `recdistill fetch` knows: all-MiniLM-L6-v2, 384 wide."""
MODULES_FILE = "modules.json"
"""The parts of a sentence encoder, in order, each with its folder (sentence-transformers)."""

ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS, PICKLES = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")


def llm_location(llm: str, cache: Path) -> str:
    """The folder or hub name that transformers loads for `teacher.llm`; a GGUF file is converted once, into the cache.

    Raises:
        UserError: SmolLM2 has not been fetched, or a path holds no model that can be loaded.
    """
    if llm == "smollm2":
        return str(smollm2_folder(cache / "smollm2"))
    folder = Path(llm).expanduser()
    if folder.is_file() and folder.suffix.lower() == GGUF:
        return str(gguf_folder(folder, cache))
    if folder.is_dir():
        _refuse_folder(llm, folder)
        return str(folder)
    if llm.startswith((".", "/", "~")) or llm.count("/") > 1:
        raise UserError(f"teacher.llm: {llm}: no such folder")
    return llm


def _refuse_folder(llm: str, folder: Path) -> None:
    """Refuse a folder that holds something else than a model in safetensors.

    Raises:
        UserError: says what it holds and what to do.
    """
    refuse_adapter(llm, folder, "teacher.llm")
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    if not (folder / "config.json").is_file():
        packed = [path for path in files if path.suffix.lower() == GGUF]
        hint = f"; name the file: {folder / packed[0].name}" if packed else ""
        raise UserError(f"teacher.llm: {llm} is a folder without config.json, so not a transformers model{hint}")
    pickled = [path.name for path in files if path.suffix in PICKLES]
    if pickled and not any(path.suffix in WEIGHTS for path in files):
        raise UserError(
            f"teacher.llm: {llm}: its weights are pickles ({pickled[0]}), which are never loaded; convert them to "
            "safetensors (torch.load with weights_only, then safetensors.torch.save_model) and name that folder"
        )


def refuse_adapter(model: str, folder: Path, key: str) -> None:
    """Transformers would load an adapter's base from elsewhere, or put the adapter into the model beside it.

    Raises:
        UserError: the folder holds an adapter.
    """
    if (folder / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"{key}: {model} holds a PEFT adapter; merge it into its model (merge_and_unload, save_pretrained) and "
            "name that folder"
        )


def encoder_location(encoder: str, cache: Path) -> str:
    """The folder or hub name that transformers loads for `teacher.title_encoder`.

    Raises:
        UserError: it was not fetched, or a path holds no model.
    """
    if encoder == FETCHED:
        folder = cache / FETCHED
        if not (folder / "model.safetensors").is_file():
            raise UserError("teacher.title_encoder: minilm is not in the cache; run `recdistill fetch minilm`")
        check_fetched(FETCHED, folder, "teacher.title_encoder")
        return str(folder)
    folder = Path(encoder).expanduser()
    if folder.is_dir() or encoder.startswith((".", "/", "~")):
        # An older encoder's transformer has a folder of its own, named by `modules.json`.
        if not any((folder / name).is_file() for name in ("config.json", MODULES_FILE)):
            raise UserError(f"teacher.title_encoder: {encoder}: no such folder with a transformers model")
        return str(folder)
    return encoder
