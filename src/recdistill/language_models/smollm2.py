"""SmolLM2-135M-Instruct out of its wheel: read the GGUF file once, keep it as safetensors in the user's cache."""

import logging
import os
import shutil
from pathlib import Path

from recdistill.errors import UserError
from recdistill.language_models.gguf import convert
from recdistill.storage.files import disk_errors

logger = logging.getLogger("recdistill")

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERTED = "transformers"
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
        return target
    if not (fetched / GGUF_NAME).is_file():
        raise UserError(
            f"teacher.llm: smollm2 is not in the cache; run `recdistill fetch smollm2` ({fetched / GGUF_NAME})"
        )
    logger.info("converting SmolLM2-135M-Instruct to safetensors (once, about half a minute)")
    unfinished = fetched / f".{CONVERTED}.{os.getpid()}"
    try:
        with disk_errors(target):
            convert(fetched / GGUF_NAME, unfinished, END_TOKEN)
            if not target.exists():  # Another process may have been faster.
                unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target
