"""The frozen language model: where it comes from, in which precision, with which attention, how many blocks of it."""

import importlib.util
import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

import torch
from torch import nn

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.libraries import as_user_error, libraries_quiet, load_config, refuse_gaps
from recdistill.language_models.locations import llm_location
from recdistill.language_models.packing import PACKED_SDPA
from recdistill.languages import Message, message

logger = logging.getLogger("recdistill")

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "bf16-mixed": torch.float32,
    "fp16-mixed": torch.float32,
}
PACKS_WEIGHTS = "support_avx512bf16_for_cpu"
"""bitsandbytes' mark of a 4-bit layer that may lay its weights out anew."""
ON_CPU = "needs a CUDA device, and this run is on the CPU"
FLASH_ATTENTION_MISSING = {
    "no_cuda": ON_CPU,
    "not_installed": "needs the package flash-attn, which is not installed",
    "full_precision": "computes in half precision only; set teacher.precision to bf16 or fp16",
}
"""Why flash_attention_2 cannot run, in the words of an error."""
TWO_WAY = 0.02
"""Relative change of a state, beyond any precision's rounding, at which a model is taken to read ahead."""


@dataclass(frozen=True)
class Backbone:
    """A loaded decoder without vocabulary head, its tokenizer, and what was chosen while loading it."""

    decoder: nn.Module
    tokenizer: Any
    hidden_dim: int
    choices: dict[str, Any] = field(default_factory=dict)


def check_llm(config: TeacherConfig, cache: Path) -> None:
    """Refuse a language model that cannot be had or has too few blocks, before anything is loaded.

    Raises:
        UserError: names the setting and what is wrong.
    """
    llm_config = load_config(llm_location(config.llm, cache))
    if config.layers is not None:
        _keep_layers(llm_config, config.layers)


def check_machine(config: TeacherConfig, device: str) -> None:
    """Refuse what this machine cannot do, before anything is loaded.

    Raises:
        UserError: names the setting and what is missing.
    """
    gpu = device.startswith("cuda")
    if config.precision.startswith("fp16") and not gpu:
        raise UserError(f"teacher.precision: {config.precision} {ON_CPU}; use fp32 or bf16")
    if config.compute_dtype == "fp16" and not gpu:
        raise UserError(f"teacher.compute_dtype: fp16 {ON_CPU}; use fp32 or bf16")
    if config.cuda_graphs and not gpu:
        raise UserError("teacher.cuda_graphs: they need a CUDA device, and this run is on the CPU; set it to false")
    if config.compile and not gpu and shutil.which("g++") is None and shutil.which("clang++") is None:
        raise UserError("teacher.compile: needs a C++ compiler on a CPU and there is none; install g++")
    if config.quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"teacher.quantization: {config.quantization} needs bitsandbytes; "
            'run pip install ".[quantization]" in the repository\'s folder'
        )
    if config.attention == "flex_attention" and not gpu:
        raise UserError("teacher.attention: flex_attention has no backward pass on a CPU; use sdpa or eager")
    if config.attention == "flash_attention_2":
        missing = _flash_attention_missing(config, device)
        if missing:
            raise UserError(f"teacher.attention: flash_attention_2 {FLASH_ATTENTION_MISSING[missing]}")


def _flash_attention_missing(
    config: TeacherConfig, device: str
) -> Literal["no_cuda", "not_installed", "full_precision"] | None:
    """Why flash_attention_2 cannot run; None when it can."""
    if not device.startswith("cuda"):
        return "no_cuda"
    if importlib.util.find_spec("flash_attn") is None:
        return "not_installed"
    return "full_precision" if config.precision == "fp32" else None


def load_backbone(config: TeacherConfig, cache: Path, device: str, layers: int | None) -> Backbone:
    """Load the decoder, frozen, in evaluation mode, without its vocabulary head.

    Args:
        config: source, precision, quantisation, attention.
        cache: the user's cache, where fetched models are.
        device: `cpu` or `cuda`.
        layers: keep the first n blocks; None keeps all.

    Raises:
        UserError: the model cannot be found or read, or this machine cannot do what was asked.
    """
    from transformers import AutoModel, AutoTokenizer

    check_machine(config, device)
    location = llm_location(config.llm, cache)
    llm_config = load_config(location)
    if layers is not None:
        _keep_layers(llm_config, layers)
    attention, reason = choose_attention(config, device)
    implementation = PACKED_SDPA if attention == "sdpa" and config.padding == "packed" else attention
    # Other forms of weight files are pickles, and no pickle is ever loaded.
    options: dict[str, Any] = {
        "dtype": DTYPES[config.precision],
        "attn_implementation": implementation,
        "use_safetensors": True,
        "output_loading_info": True,
        "trust_remote_code": False,
    }
    if config.quantization != "none":
        options |= {"quantization_config": _quantization(config), "device_map": device}
    with libraries_quiet(), as_user_error(config.llm):
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
        decoder, loading = AutoModel.from_pretrained(location, config=llm_config, **options)
    refuse_gaps(f"teacher.llm: {config.llm}", loading["missing_keys"])
    _keep_differentiable(decoder)
    decoder.requires_grad_(requires_grad=False)
    decoder.config.use_cache = False
    if config.quantization == "none":
        decoder.to(device)
    choices = {"attention": attention, "attention_reason": asdict(reason), "device": device}
    _refuse_two_way(config.llm, decoder.eval())
    hidden_dim = decoder.get_input_embeddings().embedding_dim
    return Backbone(decoder, tokenizer, hidden_dim, choices)


def _keep_differentiable(decoder: nn.Module) -> None:
    """Have 4-bit layers stay as they are on every CPU.

    On one with AVX512-BF16, bitsandbytes lays their weights out anew the first time they are read without gradients,
    for a kernel that computes in bf16 whatever was asked, and that later gradients do not pass through.
    """
    for module in decoder.modules():
        if hasattr(module, PACKS_WEIGHTS):
            setattr(module, PACKS_WEIGHTS, False)


@torch.inference_mode()
def _refuse_two_way(llm: str, decoder: nn.Module) -> None:
    """A first token that sees the tokens after it would see the targets, and the padding."""
    device = decoder.get_input_embeddings().weight.device  # type: ignore[operator]
    tokens = torch.arange(1, 9, device=device).repeat(2, 1)
    tokens[1, 1:] = tokens[0, 1:].flip(0)
    tokens[1, 4] = 0
    one, other = decoder(input_ids=tokens).last_hidden_state[:, 0].float()
    if (one - other).norm() > TWO_WAY * one.norm():
        raise UserError(
            f"teacher.llm: {llm}: a token's state depends on the tokens after it, so this is no decoder and would read "
            "the targets; choose a causal language model"
        )


def _keep_layers(llm_config: Any, layers: int) -> None:
    """Cut the configuration to its first `layers` blocks, so that only those are ever loaded."""
    total = llm_config.num_hidden_layers
    if layers > total:
        raise UserError(f"teacher.layers: {layers} is more than the {total} blocks of this language model")
    llm_config.num_hidden_layers = layers
    if getattr(llm_config, "layer_types", None):
        llm_config.layer_types = llm_config.layer_types[:layers]


def choose_attention(config: TeacherConfig, device: str) -> tuple[str, Message]:
    """The attention kernel and why it was taken."""
    if config.attention != "auto":
        return config.attention, message("attention_as_configured")
    missing = _flash_attention_missing(config, device)
    if missing:
        return "sdpa", message(f"attention_{missing}")
    return "flash_attention_2", message("attention_runs")


def _quantization(config: TeacherConfig) -> Any:
    """Bitsandbytes' settings for 4 or 8 bits."""
    from transformers import BitsAndBytesConfig

    if config.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if config.quantization == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=config.double_quantization,
            bnb_4bit_compute_dtype=DTYPES[config.precision if config.compute_dtype == "auto" else config.compute_dtype],
        )
    if config.quantization == "none":
        raise ValueError("layers that are not quantised have no such settings")
    assert_never(config.quantization)
