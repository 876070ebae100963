"""The frozen language model: where it comes from, in which precision, with which attention, how many blocks of it."""

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recdistill.config import TeacherConfig
from recdistill.errors import UserError, not_installed
from recdistill.language_models.attention import (
    FLASH_ATTENTION_MISSING,
    ON_CPU,
    choose_attention,
    flash_attention_missing,
)
from recdistill.language_models.control_weights import set_weights
from recdistill.language_models.fingerprints import llm_digests
from recdistill.language_models.kinds import PER_LAYER, keep_layers, refuse_no_decoder, text_config
from recdistill.language_models.libraries import as_user_error, libraries_quiet, load_config, refuse_gaps
from recdistill.language_models.locations import llm_location
from recdistill.language_models.one_way import check_one_way
from recdistill.language_models.packing import PACKED_SDPA, register_packed_sdpa
from recdistill.language_models.per_layer import cut_to
from recdistill.language_models.remembered_checks import device_name, remembered
from recdistill.language_models.weights import refuse_unquantised
from recdistill.measure.facts import Choices

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
RUN_SETTINGS = ("llm_weights", "precision", "quantization", "double_quantization", "compute_dtype", "attention")
"""Settings of the teacher that decide how a language model runs before it has experts."""


@dataclass(frozen=True)
class Backbone:
    """A loaded decoder without vocabulary head, and what was chosen while loading it.

    Attributes:
        decoder: the text decoder alone, also of a model that reads images too.
        llm: what `teacher.llm` says.
        location: the folder or hub name.
        hidden_dim: width H of its states.
        choices: for the evidence.
    """

    decoder: nn.Module
    llm: str
    location: str
    hidden_dim: int
    choices: Choices = field(default_factory=lambda: Choices())

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer, loaded where text is read for the first time.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        from transformers import AutoTokenizer

        try:
            with libraries_quiet(), as_user_error(self.llm):
                return AutoTokenizer.from_pretrained(self.location, trust_remote_code=False)
        except UserError as error:
            reason = str(error).removeprefix(f"teacher.llm: {self.llm}: ")
            raise UserError(
                f"teacher.llm: {self.llm}: its tokenizer cannot be read, so no text can ({reason}); put its "
                "tokenizer's files beside the weights, or use teacher.prompt: item with another title_encoder than llm"
            ) from error

    def refuse_unknown(self, tokens: NDArray[np.int32]) -> None:
        """Refuse tokens that the language model has no embedding for.

        Raises:
            UserError: the tokenizer has more tokens than the language model, and text has one of them.
        """
        rows = self.decoder.get_input_embeddings().num_embeddings  # type: ignore[operator]
        largest = int(tokens.max(initial=-1))
        if largest >= rows:
            raise UserError(
                f"teacher.llm: {self.llm}: its tokenizer gives token {largest}, and the model knows {rows} tokens "
                "only; put the tokenizer that belongs to it there"
            )


def check_llm(config: TeacherConfig, cache: Path, device: str = "cpu") -> None:
    """Refuse a language model that cannot be had, is no decoder or has too few blocks, before anything is loaded.

    Raises:
        UserError: names the setting and what is wrong.
    """
    llm_config = load_config(llm_location(config.llm, cache))
    refuse_no_decoder(config.llm, llm_config)
    if config.layers is not None:
        keep_layers(llm_config, config.layers)
    if config.llm_weights != "pretrained" and getattr(llm_config, "quantization_config", None) is not None:
        raise UserError(
            f"teacher.llm_weights: {config.llm_weights} moves single values, and those of {config.llm} are quantised "
            "in its files; name a folder with full weights"
        )
    choose_attention(config, llm_config, device)


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
        raise UserError(f"teacher.quantization: {config.quantization}: {not_installed('bitsandbytes', 'quantization')}")
    if config.attention == "flex_attention" and not gpu:
        raise UserError("teacher.attention: flex_attention has no backward pass on a CPU; use sdpa or eager")
    if config.attention == "flash_attention_2":
        missing = flash_attention_missing(config, device)
        if missing:
            raise UserError(f"teacher.attention: flash_attention_2 {FLASH_ATTENTION_MISSING[missing]}")


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
    check_machine(config, device)
    location = llm_location(config.llm, cache)
    llm_config = load_config(location)
    refuse_no_decoder(config.llm, llm_config)
    attention, reason = choose_attention(config, llm_config, device)
    decoder = _load(config, location, llm_config, attention, device, layers)
    weights = set_weights(decoder, config.llm_weights, "teacher.llm_weights", config.llm)
    decoder.requires_grad_(requires_grad=False)
    decoder.config.use_cache = False
    if config.quantization == "none":
        decoder.to(device)
    else:
        refuse_unquantised(config.llm, config.quantization, decoder)
    _keep_differentiable(decoder)
    about = {
        "llm": llm_digests(config.llm, cache),
        "settings": {name: asdict(config)[name] for name in RUN_SETTINGS},
        "layers": layers,
        "device": device_name(device),
    }
    remembered(cache, about, lambda: check_one_way(config.llm, decoder.eval()))
    choices: Choices = {
        "attention": attention,
        "attention_reason": reason.kept(),
        "device": device,
        "llm_weights": weights,
    }
    hidden_dim = decoder.get_input_embeddings().embedding_dim
    return Backbone(decoder.eval(), config.llm, location, hidden_dim, choices)


def _load(
    config: TeacherConfig, location: str, llm_config: Any, attention: str, device: str, layers: int | None
) -> Any:
    """The text decoder with its first `layers` blocks, as transformers loads it."""
    from transformers import AutoModel

    register_packed_sdpa()
    implementation = PACKED_SDPA if attention == "sdpa" and config.padding == "packed" else attention
    is_alone = text_config(llm_config) is llm_config
    whole, per_layer = deepcopy(llm_config), bool(getattr(text_config(llm_config), PER_LAYER, 0))
    if layers is not None:
        keep_layers(llm_config, layers)
    if per_layer and layers is not None and config.quantization != "none":
        raise UserError(
            f"teacher.layers: {config.llm} has a table with columns for each block, which is cut in full precision "
            "only; use null (all) with teacher.quantization"
        )
    # Other forms of weight files are pickles, and no pickle is ever loaded.
    options: dict[str, object] = {
        "dtype": DTYPES[config.precision],
        "attn_implementation": implementation if is_alone else {"text_config": implementation},
        "use_safetensors": True,
        "output_loading_info": True,
        "trust_remote_code": False,
    }
    if config.quantization != "none":
        options |= {"quantization_config": _quantization(config), "device_map": device}
    with libraries_quiet(), as_user_error(config.llm), _packed_is_known(config.llm):
        model, loading = AutoModel.from_pretrained(location, config=whole if per_layer else llm_config, **options)
        decoder = model if is_alone else model.get_decoder()
    _refuse_adapter(config.llm, decoder)
    part = next((f"{name}." for name, module in model.named_modules() if module is decoder and name), "")
    refuse_gaps(f"teacher.llm: {config.llm}", [name for name in loading["missing_keys"] if name.startswith(part)])
    return cut_to(decoder, text_config(llm_config)) if per_layer and layers is not None else decoder


@contextmanager
def _packed_is_known(llm: str) -> Iterator[None]:
    """Some models choose their attention from a list of their own, in which this program's does not stand."""
    try:
        yield
    except KeyError as error:
        if error.args != (PACKED_SDPA,):
            raise
        raise UserError(
            f"teacher.padding: packed with attention sdpa cannot be had of {llm}, whose attention is its own; "
            "use padding: bucketed"
        ) from error


def _refuse_adapter(llm: str, decoder: nn.Module) -> None:
    """Transformers puts an adapter that lies beside a model into it; its LoRA would be taken for part of the experts.

    Raises:
        UserError: there is one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(module, BaseTunerLayer) for module in decoder.modules()):
        raise UserError(f"teacher.llm: {llm} holds a PEFT adapter; merge it into its model and name that folder")


def _keep_differentiable(decoder: nn.Module) -> None:
    """Have 4-bit layers stay as they are on every CPU.

    On one with AVX512-BF16, bitsandbytes lays their weights out anew the first time they are read without gradients,
    for a kernel that computes in bf16 whatever was asked, and that later gradients do not pass through.
    """
    for module in decoder.modules():
        if hasattr(module, PACKS_WEIGHTS):
            setattr(module, PACKS_WEIGHTS, False)


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
