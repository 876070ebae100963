"""Gated LoRA experts around the frozen linear layers of a language model (iLoRA, arXiv 2408.10159, §3.2).

    x (B, T, in) ──► W, frozen, in any precision ─────────────────────────────► + ──► y (B, T, out)
         │                                                                      ▲
         └► dropout ► A (R × in) ─► (B, T, R) ⊙ gate (B, T, R) ─► B (out × R) ─► × alpha/R

The R ranks are E blocks of R/E, one block an expert. The paper writes ΔW = (alpha/(R/E)) Σ_e ω_e B_e A_e; since B and A
of all experts are one matrix each, that is one multiplication by `gate = E · repeat_interleave(ω, R/E)` between two
ordinary matmuls, and no tensor with an expert axis is ever made. A uniform ω makes the gate all ones: plain LoRA, which
is why the saved adapters open in PEFT itself.

The gate is data of one forward pass. It travels as the keyword `expert_gate` through the language model to each
decoder block, where :class:`GatedForward` takes it off and lends it to that block's experts until the block is done.
Activation checkpointing and compilation wrap that call, with the gate among its arguments: a block that is run again in
the backward pass gets its gate again. (transformers' own checkpointing would not do: it starts below the keyword.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recdistill.config import AdapterConfig
from recdistill.errors import UserError
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.libraries import MODEL_ERRORS, first_line
from recdistill.language_models.packing import PACKING_KEYWORD
from recdistill.storage.files import read_tensors, require_finite
from recdistill.teacher.compiling import compiled
from recdistill.teacher.gated_lora import add_experts
from recdistill.teacher.picked import PICKED_KEYWORD, Picked, PickedForward, pick_in

if TYPE_CHECKING:  # PEFT takes seconds to import, so that only what needs it does
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

GATE_KEYWORD = "expert_gate"
ADAPTER = "default"
ADAPTER_FILE = "adapter_model.safetensors"


class BlockGate:
    """The gate of one decoder block for the time of one call; experts of the block read it here."""

    value: Tensor | None = None


@dataclass(frozen=True)
class BlockOptions:
    """How decoder blocks are run.

    Attributes:
        checkpointing: in training, keep only a block's inputs and run it again in the backward pass.
        compiled: run blocks through torch.compile.
        cuda_graphs: compiled blocks are replayed as CUDA graphs.
    """

    checkpointing: bool = False
    compiled: bool = False
    cuda_graphs: bool = False


class GatedForward:
    """A decoder block's forward that takes the gate off the keywords and lends it to the block's experts.

    Args:
        block: the decoder block; its own forward is called inside.
        block_gate: where the block's experts look for the gate.
        options: how the block is run.

    Attributes:
        parts: what of the block can be run at some tokens alone; in the last block.
        gated: whether the last call brought a gate.
        calls: how often the block was called.
        executions: how often its inside ran; more than `calls` where a backward pass ran it again.
    """

    def __init__(self, block: nn.Module, block_gate: BlockGate, options: BlockOptions) -> None:
        self.block, self.block_gate, self.options = block, block_gate, options
        self.block_forward: Callable[..., Any] = block.forward
        self.parts: list[PickedForward] = []
        self.inside: Callable[..., Any] = self._inside
        if options.compiled:
            self.inside = compiled(self._inside, options.cuda_graphs)
        self.gated, self.calls, self.executions = False, 0, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block.

        `expert_gate` (P, T or 1, R) may be missing, and the experts are then plain LoRA. `picked_tokens` are the tokens
        that are asked for; a block without `parts` computes all.
        """
        gate, picked = kwargs.pop(GATE_KEYWORD, None), kwargs.pop(PICKED_KEYWORD, None)
        self.gated = gate is not None
        self.calls += 1
        picked = picked if self.parts else None
        if self.options.checkpointing and self.block.training and torch.is_grad_enabled():
            return checkpoint(self._run, gate, picked, *args, use_reentrant=False, **kwargs)
        return self._run(gate, picked, *args, **kwargs)

    def _run(self, gate: Tensor | None, picked: Picked | None, *args: Any, **kwargs: Any) -> Any:
        self.executions += 1
        return self.inside(gate, picked, *args, **kwargs)

    def _inside(self, gate: Tensor | None, picked: Picked | None, *args: Any, **kwargs: Any) -> Any:
        self.block_gate.value = gate
        if picked is not None and picked.attended is not None:
            kwargs[PACKING_KEYWORD] = picked.attended
        for part in self.parts:
            part.tokens = None if picked is None else picked.tokens
        try:
            return self.block_forward(*args, **kwargs)
        finally:
            self.block_gate.value = None
            for part in self.parts:
                part.tokens = None


class ExpertLayer:
    """The forward of a layer with experts: the frozen layer, then what the experts add (:mod:`.delta`).

    PEFT's LoRA layers are given a class of their own kind with this in front (:func:`_as_expert_layer`). Parameters and
    names stay, so that saving and loading are PEFT's. It is a class rather than a function on each layer, since a
    compiled block is used for all blocks of the same code.
    """

    block_gate: BlockGate
    base_layer: nn.Module
    lora_A: dict[str, nn.Linear]  # noqa: N815 (PEFT's name)
    lora_B: dict[str, nn.Linear]  # noqa: N815
    lora_dropout: dict[str, nn.Module]
    scaling: dict[str, float]
    training: bool

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out); without a gate the experts are plain LoRA."""
        dropout = self.lora_dropout[ADAPTER]
        share = dropout.p if self.training and isinstance(dropout, nn.Dropout) else 0.0
        down, up = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        return add_experts(self.base_layer(x), x, down, up, self.block_gate.value, self.scaling[ADAPTER], share)


@cache
def _expert_class(kind: Any) -> type[nn.Module]:
    """The class of layers like `kind` with experts."""
    return type(f"Expert{kind.__name__}", (ExpertLayer, kind), {})


def _as_expert_layer(layer: nn.Module, block_gate: BlockGate) -> None:
    """Make one of PEFT's LoRA layers run :meth:`ExpertLayer.forward`."""
    layer.__class__ = _expert_class(type(layer))  # type: ignore[arg-type]
    layer.block_gate = block_gate  # type: ignore[assignment]


def expand_gate(weights: Tensor, rank: int) -> Tensor:
    """Expert weights ω (…, E), summing to 1, to the factor of each rank: (…, R), with mean 1."""
    experts = weights.shape[-1]
    return (weights * experts).repeat_interleave(rank // experts, dim=-1)


def attach_experts(
    llm: nn.Module,
    config: AdapterConfig,
    options: BlockOptions = BlockOptions(),
) -> "PeftModel":
    """Wrap the linear layers named in `config.layers` with experts; everything else stays frozen and is not copied.

    Args:
        llm: a decoder of transformers, without a vocabulary head; full precision or quantised by bitsandbytes.
        config: rank, number of experts, alpha, dropout, layer names.
        options: how the blocks are run.

    Returns:
        PEFT's model around `llm`; call `base_decoder(model)` with `expert_gate=(B, T or 1, R)` to run it.

    Raises:
        UserError: the language model has no linear layer of one of the names in its blocks, or one outside of them.
    """
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    known = linear_layer_names(llm)
    for layer in config.layers:
        if layer not in known:
            raise UserError(
                f"teacher.adapter.layers: this language model has no linear layer {layer!r} in its blocks; "
                f"it has {', '.join(sorted(known))}"
            )
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.layers),
        bias="none",
    )
    try:
        model = get_peft_model(llm, lora)
    except MODEL_ERRORS as error:
        raise UserError(
            f"teacher.adapter.layers: PEFT cannot put adapters on {', '.join(config.layers)} of this language model "
            f"({first_line(error)}); it has {', '.join(sorted(known))}"
        ) from error
    for block in decoder_blocks(model):
        _gate_block(block, options)
    _refuse_ungated(model)
    if not options.compiled:  # a compiled block is one for all blocks, and for one shape
        last = decoder_blocks(model)[-1]
        last.forward.parts = pick_in(last, lambda module: isinstance(module, LoraLayer))  # type: ignore[attr-defined]
    return model


def base_decoder(model: "PeftModel") -> nn.Module:
    """The language model inside PEFT's wrapper, experts included; it takes `inputs_embeds` and `expert_gate`."""
    return model.base_model.model  # type: ignore[no-any-return]


def check_gate_arrived(model: "PeftModel") -> None:
    """Refuse a language model that drops the gate on its way to the blocks: its experts would be plain LoRA, silently.

    Call it after a forward pass with a gate.

    Raises:
        UserError: a block ran without.
    """
    if not all(getattr(block.forward, "gated", False) for block in decoder_blocks(model)):
        raise UserError(
            "teacher.llm: this language model does not hand keywords on to its blocks, so no gate can reach the "
            "experts; use teacher.gate.kind: none, or another language model"
        )


def linear_layer_names(llm: nn.Module) -> set[str]:
    """The last parts of the names of all linear layers in the blocks."""
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    modules = (named for block in decoder_blocks(llm) for named in block.named_modules())
    return {name.rsplit(".", 1)[-1] for name, module in modules if isinstance(module, nn.Linear | Conv1D)}


def expert_layers(model: nn.Module) -> list[tuple[str, "LoraLayer"]]:
    """PEFT's layers with adapters, by name."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def _refuse_ungated(model: "PeftModel") -> None:
    """Every adapter must stand where the gate reaches it."""
    for name, layer in expert_layers(model):
        if not isinstance(layer, ExpertLayer):
            raise UserError(f"teacher.adapter.layers: {name} lies outside the decoder blocks, where no gate reaches it")


def _gate_block(block: nn.Module, options: BlockOptions) -> None:
    """Replace the forward of each layer with adapters, and the block's by one that hands them the gate."""
    block_gate = BlockGate()
    for _, layer in expert_layers(block):
        _as_expert_layer(layer, block_gate)
    block.forward = GatedForward(block, block_gate, options)


def save_experts(model: "PeftModel", folder: Path, base: str) -> None:
    """Write the adapters alone, in PEFT's format (`adapter_config.json`, `adapter_model.safetensors`).

    Args:
        model: the decoder with its adapters.
        folder: where to write.
        base: the language model's name, written in the place of the folder that it was loaded from.
    """
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    # Left to itself, PEFT asks the hub about the vocabulary and may add the embeddings, which nobody has trained.
    model.save_pretrained(str(folder), save_embedding_layers=False)


def load_experts(model: "PeftModel", folder: Path) -> None:
    """Load adapters written by :func:`save_experts`, each name and shape exactly.

    Raises:
        UserError: the file is missing, or holds other names or shapes than `model`.
    """
    from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict

    path = folder / ADAPTER_FILE
    saved = read_tensors(path)
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    wrong = sorted(set(saved) ^ set(expected)) or [name for name in saved if saved[name].shape != expected[name].shape]
    if wrong:
        raise UserError(f"{path}: adapters do not fit this teacher (first difference: {wrong[0]})")
    require_finite(saved, path)
    set_peft_model_state_dict(model, saved)
