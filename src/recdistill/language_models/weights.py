"""The frozen weights of a decoder's blocks: which shapes they have, and how many of them are quantised."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from recdistill.errors import UserError
from recdistill.language_models.blocks import decoder_blocks

QUANTISED_LAYERS = ("Linear4bit", "Linear8bitLt")
ENOUGH = 0.5
"""Share of the blocks' weights below which a model is not quantised in any useful sense."""


def quantised_layers(model: nn.Module) -> list[Any]:
    """The layers whose weights bitsandbytes has quantised."""
    return [module for module in model.modules() if type(module).__name__ in QUANTISED_LAYERS]


def layer_shapes(model: nn.Module) -> frozenset[tuple[int, int]]:
    """The shapes of the matrices in the blocks, quantised ones as they were before; adapters are left out."""
    found = {(layer.out_features, layer.in_features) for layer in quantised_layers(model)}
    return frozenset(found | {tuple(one.shape) for one in _others(model) if one.dim() == 2})  # type: ignore[misc]


def quantised_share(model: nn.Module) -> float:
    """Share of the blocks' weights that is quantised; adapters are not counted."""
    packed = sum(
        layer.in_features * layer.out_features for block in decoder_blocks(model) for layer in quantised_layers(block)
    )
    rest = sum(one.numel() for one in _others(model))
    return packed / (packed + rest) if packed else 0.0


def _others(model: nn.Module) -> Iterator[nn.Parameter]:
    """The blocks' parameters that are neither quantised nor an adapter's."""
    for block in decoder_blocks(model):
        packed = {id(layer.weight) for layer in quantised_layers(block)}
        for name, one in block.named_parameters():
            if id(one) not in packed and ".lora_" not in name:
                yield one


def refuse_unquantised(llm: str, quantization: str, decoder: nn.Module) -> None:
    """Refuse a quantised model most of whose weights are not.

    bitsandbytes quantises linear layers; a mixture's experts that transformers keeps in one tensor are none.

    Raises:
        UserError: less than half of the blocks' weights are quantised.
    """
    share = quantised_share(decoder)
    if share < ENOUGH:
        raise UserError(
            f"teacher.quantization: {quantization} would reach {share:.0%} of the weights of {llm}'s blocks, since the "
            "others are in no linear layer that bitsandbytes takes (such as fused experts); use none"
        )
