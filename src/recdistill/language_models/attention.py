"""Which attention kernel a language model runs with, and why."""

import importlib.util
from typing import Any, Literal

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.kinds import text_config
from recdistill.languages import Message, message

ON_CPU = "needs a CUDA device, and this run is on the CPU"
FLASH_ATTENTION_MISSING = {
    "no_cuda": ON_CPU,
    "not_installed": "needs the package flash-attn, which is not installed",
    "full_precision": "computes in half precision only; set teacher.precision to bf16 or fp16",
}
"""Why flash_attention_2 cannot run, in the words of an error."""
SUPPORT = {
    "flash_attention_2": "_supports_flash_attn",
    "sdpa": "_supports_sdpa",
    "flex_attention": "_supports_flex_attn",
}
"""Kernel → where transformers' classes say whether they have it. All have eager."""


def flash_attention_missing(
    config: TeacherConfig, device: str
) -> Literal["no_cuda", "not_installed", "full_precision"] | None:
    """Why flash_attention_2 cannot run on this machine; None when it can."""
    if not device.startswith("cuda"):
        return "no_cuda"
    if importlib.util.find_spec("flash_attn") is None:
        return "not_installed"
    return "full_precision" if config.precision == "fp32" else None


def kernels(llm_config: Any) -> list[str]:
    """The attention kernels that transformers has for this kind of model, eager last."""
    from transformers import MODEL_MAPPING

    try:
        found = MODEL_MAPPING[type(text_config(llm_config))]
    except KeyError:
        return ["eager"]
    model = found[0] if isinstance(found, tuple) else found
    return [*(name for name, flag in SUPPORT.items() if getattr(model, flag, False)), "eager"]


def choose_attention(config: TeacherConfig, llm_config: Any, device: str) -> tuple[str, Message]:
    """The attention kernel and why it was taken.

    Args:
        config: `attention` and `precision` are read.
        llm_config: the language model's configuration.
        device: `cpu` or `cuda`.

    Raises:
        UserError: this kind of language model does not have the kernel that was asked for.
    """
    there = kernels(llm_config)
    if config.attention != "auto":
        if config.attention not in there:
            usable = [name for name in there if name == "eager" or name == "sdpa" or device.startswith("cuda")]
            raise UserError(
                f"teacher.attention: transformers has no {config.attention} for {llm_config.model_type} models; "
                f"use auto or {' or '.join(usable)}"
            )
        return config.attention, message("attention_as_configured")
    missing = flash_attention_missing(config, device)
    if not missing and "flash_attention_2" in there and not config.streams:
        return "flash_attention_2", message("attention_runs")
    if config.streams and "sdpa" in there:
        return "sdpa", message("attention_counts_items")
    if "sdpa" not in there:
        return "eager", message("attention_only_eager", kind=str(llm_config.model_type))
    return "sdpa", message(f"attention_{missing}") if missing else message("attention_no_flash")
