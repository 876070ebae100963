"""Whether every adapter learns: one pass forward and back, and no adapter is left without a gradient."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from recdistill.errors import UserError
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.libraries import MODEL_ERRORS, first_line
from recdistill.teacher.experts import ADAPTER, base_decoder, expert_layers
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.trial_prompts import TrialPrompts


def check_adapters(ranker: Ranker, prompts: TrialPrompts) -> None:
    """One pass forward and back, in training mode, in the layout that training will have.

    Raises:
        UserError: it fails, an adapter gets no gradient, or the prompt gets none.
    """
    asked = ", ".join(ranker.config.adapter.layers)
    inputs = tuple(one.clone().requires_grad_() for one in prompts.inputs)
    trial = TrialPrompts(prompts.tokens, inputs, prompts.gates, prompts.padding)  # type: ignore[arg-type]
    ranker.train()
    try:
        states = trial.packed(ranker) if ranker.config.padding == "packed" else trial.padded(ranker)
        torch.autograd.backward(_some_loss(states))
        dead = dead_adapters(ranker.llm)
    except MODEL_ERRORS as error:
        raise UserError(
            f"teacher.adapter.layers: {ranker.config.llm} cannot be trained with adapters on {asked} "
            f"({first_line(error)}); {_others(ranker, prompts)}"
        ) from error
    finally:
        ranker.zero_grad(set_to_none=True)
        ranker.eval()
    if dead:
        raise UserError(
            f"teacher.adapter.layers: {_last(dead[0])}: the adapter of {dead[0]} gets no gradient, so "
            f"{ranker.config.llm} does not compute it; {_others(ranker, prompts, dead)}"
        )
    if any(one.grad is None or not bool((one.grad != 0).any()) for one in inputs):
        raise UserError(
            f"teacher.llm: no gradient comes back through {ranker.config.llm} to its prompts, so soft tokens would not "
            "learn; choose another language model or another teacher.quantization"
        )


def _some_loss(states: Iterable[Tensor]) -> Tensor:
    """A number that every entry of every state moves, each in its own way."""
    generator = torch.Generator().manual_seed(1)
    parts = [(one.float() * torch.randn(one.shape, generator=generator).to(one.device)).sum() for one in states]
    return torch.stack(parts).sum()


def dead_adapters(model: nn.Module) -> list[str]:
    """Names of layers whose adapter got no gradient after a backward pass.

    B begins at zero, so A's gradient is zero at first whatever the layer does; B's is not. Of the many like layers of a
    mixture's experts in one block it is enough if one was chosen.
    """
    groups: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for name, layer in expert_layers(model):
        grad = layer.lora_B[ADAPTER].weight.grad
        groups[_group(name)].append((name, grad is not None and bool((grad != 0).any())))
    return [found[0][0] for found in groups.values() if not any(learns for _, learns in found)]


def _group(name: str) -> str:
    """A layer's name without the number of a mixture's expert; the first number is the block's."""
    found = re.match(r"(.*?\.\d+\.)(.*)", name)
    return name if found is None else found[1] + re.sub(r"(?<=\.)\d+(?=\.)", "*", found[2])


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _others(ranker: Ranker, prompts: TrialPrompts, dead: Iterable[str] = ()) -> str:
    """The layers that the language model did call in a pass made now, and that give one tensor."""
    called: dict[str, list[bool]] = defaultdict(list)
    hooks, seen = [], set()

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.add(layer)

    layers = list(_linear_layers(base_decoder(ranker.llm)))
    hooks = [layer.register_forward_hook(note) for _, layer in layers]
    try:
        with torch.no_grad():
            prompts.alone(ranker, 1)
    except MODEL_ERRORS:
        return "name other layers"
    finally:
        for hook in hooks:
            hook.remove()
    unfit = {_last(name) for name in dead}
    for name, layer in layers:
        called[_group(name)].append(layer in seen)
    groups = {group: any(found) for group, found in called.items()}
    names = {_last(group) for group in groups} - {_last(group) for group, right in groups.items() if not right} - unfit
    return f"its layers that are computed: {', '.join(sorted(names))}" if names else "it has no layer for adapters"


def _linear_layers(decoder: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """The linear layers in the blocks that are run, with adapters or without, by name."""
    from peft.tuners.lora import LoraLayer
    from transformers.pytorch_utils import Conv1D

    for number, block in enumerate(decoder_blocks(decoder)):
        for name, module in block.named_modules():
            is_inside = ".base_layer" in name or ".lora_" in name
            if isinstance(module, nn.Linear | Conv1D | LoraLayer) and not is_inside:
                yield f"blocks.{number}.{name}", module
