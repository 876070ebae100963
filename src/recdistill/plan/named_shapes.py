"""Shapes of a language model by its name: a preset, a folder, or a model on the hub."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from recdistill.errors import UserError
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.plan.llm_shapes import PRESETS, LlmShapes


def llm_shapes(llm: str, layers: int | None = None) -> LlmShapes:
    """Shapes of a preset, of a folder's `config.json`, or of a model on the hub; weights are never read.

    Args:
        llm: a name in `PRESETS`, a folder, or a hub name.
        layers: keep the first n blocks; None keeps all.

    Raises:
        UserError: no such preset, folder or hub name; a kind of model whose shapes are not known; too few blocks.
    """
    shapes = PRESETS[llm] if llm in PRESETS else shapes_from_config(_config(llm), llm)
    if layers is None:
        return shapes
    if not 0 < layers <= shapes.layers:
        raise UserError(f"plan.layers: {layers} is out of range; {llm} has {shapes.layers} blocks")
    return replace(shapes, layers=layers)


def _config(llm: str) -> Any:
    """Read a model's configuration from its folder or from the hub."""
    presets = ", ".join(PRESETS)
    if not Path(llm).is_dir() and "/" not in llm:
        raise UserError(f"plan.llm: no preset and no folder {llm!r}; presets are {presets}")
    if not (Path(llm) / "config.json").is_file():
        if Path(llm).is_dir():
            raise UserError(f"plan.llm: {llm} is a folder without config.json, so not a transformers model")
        if llm.startswith((".", "/", "~")) or llm.count("/") > 1:
            raise UserError(f"plan.llm: {llm}: no such folder; presets are {presets}")
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(llm, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"plan.llm: {llm}: {reason}") from error
