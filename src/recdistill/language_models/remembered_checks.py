"""Checks that run a language model, remembered in the user's cache: what passed once is not run again."""

import json
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from recdistill.errors import UserError
from recdistill.measure.facts import Checked
from recdistill.storage.files import write_json
from recdistill.storage.run_folder import fingerprint
from recdistill.storage.typed import typed
from recdistill.version import __version__

logger = logging.getLogger("recdistill")

MEMORY = "decoder_checks"
"""Folder of the user's cache with one small file for each check that passed."""
DECIDING = ("torch", "transformers", "peft", "bitsandbytes", "flash_attn")
"""Packages whose versions decide how a model runs."""


def remembered(cache: Path, about: Mapping[str, object], check: Callable[[], Checked]) -> Checked:
    """What `check` found, from the cache where the same was checked before.

    A check that refuses raises, and nothing is remembered of it.

    Args:
        cache: the user's cache.
        about: what was checked: the model's digests, the settings, the device.
        check: runs the model.
    """
    about = {**about, "versions": {name: _version(name) for name in DECIDING}, "recdistill": __version__}
    path = cache / MEMORY / f"{fingerprint(about)}.json"
    if (known := _recall(path)) is not None:
        return known
    found = check()
    try:
        write_json(path, found)
    except UserError as error:
        logger.warning("the language model is checked anew each time, since %s", error)
    return found


def device_name(device: str) -> str:
    """The device as its kernels know it."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _recall(path: Path) -> Checked | None:
    """What was found before; None where nothing was, or the file is unreadable."""
    try:
        return typed(json.loads(path.read_text(encoding="utf-8")), Checked, str(path))
    except (OSError, ValueError, UserError):
        return None
