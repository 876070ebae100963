"""Models whose blocks each have an input of their own, from a table that lies outside of them (Gemma 3n and 4)."""

from typing import Any

import torch
from torch import Tensor, nn

from recdistill.language_models.kinds import PER_LAYER


def cut_to(decoder: nn.Module, config: Any) -> nn.Module:
    """The decoder's first blocks, with the columns of the tables that are theirs.

    transformers cannot load a part of such a table, so the whole model is loaded and cut.

    Args:
        decoder: the whole one.
        config: its configuration, already cut to its first blocks.
    """
    attention = decoder.config._attn_implementation  # type: ignore[union-attr]
    whole = decoder.state_dict()
    dtype = next(decoder.parameters()).dtype
    config._attn_implementation = attention
    with torch.random.fork_rng():
        cut: nn.Module = type(decoder)(config).to(dtype)
    own = {name: _first(whole[name], tuple(value.shape)) for name, value in cut.state_dict().items()}
    cut.load_state_dict(own, strict=True, assign=True)
    return cut


def _first(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor's first rows and columns; columns of a table for each block stand in the order of the blocks."""
    part = tensor[tuple(slice(0, size) for size in shape)]
    return part if part.shape == tensor.shape else part.contiguous()


def own_inputs(decoder: Any, token_ids: Tensor) -> dict[str, Tensor]:
    """What such a model must be given beside embeddings: each token's inputs of the blocks, by its id.

    Soft tokens have id 0, padding's, which is what these models take for the places of images too.

    Args:
        decoder: any decoder.
        token_ids: int64 (P, T).
    """
    if not getattr(decoder.config, PER_LAYER, 0):
        return {}
    return {"per_layer_inputs": decoder.get_per_layer_inputs(token_ids)}
