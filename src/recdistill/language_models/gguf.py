"""A model in one GGUF file, converted once to a folder of safetensors in the user's cache."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from recdistill.language_models.libraries import as_user_error, libraries_quiet
from recdistill.storage.digests import remembered_digest
from recdistill.storage.files import disk_errors

logger = logging.getLogger("recdistill")

GGUF = ".gguf"
FOLDER = "gguf"
"""Folder of the cache with the converted models, one folder for each file's digest."""


def gguf_folder(file: Path, cache: Path) -> Path:
    """The folder of the converted model; made when it is not there yet.

    Weights are kept in fp32, four bytes each, so that nothing is rounded a second time.

    Raises:
        UserError: transformers cannot read this file, or the disk is full.
    """
    target = cache / FOLDER / remembered_digest(file, cache)[:16]
    if (target / "config.json").is_file():
        return target
    logger.info("converting %s to safetensors (once)", file.name)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with disk_errors(target), libraries_quiet(), as_user_error(str(file)):
            convert(file, unfinished)
            if not target.exists():  # Another process may have been faster.
                unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def convert(file: Path, target: Path, end_token: str | None = None) -> None:
    """Write the model and its tokenizer to the folder `target`.

    transformers turns the weights into fp32. They then move into a fresh model of the same shape, since one that came
    from GGUF refuses to be saved.

    Args:
        file: the GGUF file.
        target: the folder.
        end_token: ends and pads texts, and no token is put before one; None: as the file says.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if end_token is not None:
        tokenizer.eos_token = tokenizer.pad_token = end_token
        tokenizer.bos_token = None
        config.eos_token_id = config.pad_token_id = tokenizer.convert_tokens_to_ids(end_token)
        config.bos_token_id = None
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict(), strict=True)
    fresh.save_pretrained(target)
    tokenizer.save_pretrained(target)
