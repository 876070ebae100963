"""The last block at the tokens whose states are asked for, and at no others.

A prediction is made at one token of an item, and a title has some six more. What the last block does to these reaches
no prediction: its keys and values are read, but its MLP, the projection behind its attention and the attention's
queries are needed where something is predicted alone. With the two blocks that a teacher has by default that is most
of a third of all work on text prompts.

A module is run on fewer tokens only where it is known by its place in the block, has no experts in it, and treats each
token by itself, which is tried on numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recdistill.config import TeacherConfig
from recdistill.language_models.libraries import MODEL_ERRORS
from recdistill.language_models.packing import Attended
from recdistill.language_models.sliding import PICKED_BLOCK, Sliding
from recdistill.teacher.prompts import PromptBatch

PICKED_KEYWORD = "picked_tokens"
MLPS = ("mlp", "feed_forward")
ATTENTIONS = ("self_attn", "attention", "attn", "self_attention")
PROJECTIONS = ("o_proj", "out_proj", "dense", "c_proj")
"""Names of a block's parts, and of what stands behind its attention, in transformers' decoders."""
SAME = 0.02
"""Relative difference that rounding explains, in any precision."""


@dataclass(frozen=True)
class Picked:
    """Tokens whose last states are asked for.

    Attributes:
        tokens: int64 (M,), ascending, in flat rows (P·T).
        attended: how they alone are attended to; None: as all are.
    """

    tokens: Tensor
    attended: Attended | None = None


def picked_tokens(batch: PromptBatch, config: TeacherConfig, dtype: torch.dtype) -> Picked | None:
    """The tokens at which the last block is needed; None where these are many, as they are without words.

    Args:
        batch: the prompts and what they predict.
        config: `prompt`, `windows` and `history_length` are read.
        dtype: of the queries.
    """
    if config.prompt != "text" or 2 * len(batch.target_rows) > batch.token_ids.numel():
        return None
    tokens = (batch.target_rows * batch.token_ids.shape[1] + batch.target_columns).sort().values
    if not config.streams:
        return Picked(tokens)
    lengths, steps, window = batch.prompt_tokens, batch.steps[0].cpu(), config.history_length
    return Picked(tokens, Sliding.of(lengths, steps, window, dtype, PICKED_BLOCK, tokens.cpu()).to(tokens.device))


class PickedForward:
    """A module's forward: at some tokens where it is told so, else at all.

    Args:
        module: (..., in) to (..., out), each token by itself.

    Attributes:
        tokens: those of the call that is under way; None: all.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module_forward: Callable[..., Any] = module.forward
        self.tokens: Tensor | None = None

    def __call__(self, x: Tensor, *others: Any, **named: Any) -> Any:
        """(P, T, in) to (P, T, out), with zeros at the tokens that are not asked for."""
        if self.tokens is None or others or named:
            return self.module_forward(x, *others, **named)
        rows = x.reshape(-1, x.shape[-1])
        out: Tensor = self.module_forward(rows.index_select(0, self.tokens).unsqueeze(0))[0]
        return out.new_zeros(len(rows), out.shape[1]).index_copy(0, self.tokens, out).view(*x.shape[:-1], -1)


def pick_in(block: nn.Module, is_adapted: Callable[[nn.Module], bool]) -> list[PickedForward]:
    """Let the parts of a block that can be run at some tokens be told so.

    Args:
        block: a decoder's last.
        is_adapted: whether a module has experts, which go by all tokens' gate.

    Returns:
        What to tell; empty where no part is known.
    """
    attentions = [child for name, child in block.named_children() if name in ATTENTIONS]
    parts = [child for name, child in block.named_children() if name in MLPS]
    parts += [child for one in attentions for name, child in one.named_children() if name in PROJECTIONS]
    found = [part for part in parts if not any(map(is_adapted, part.modules())) and _by_itself(part)]
    forwards = [PickedForward(part) for part in found]
    for part, forward in zip(found, forwards, strict=True):
        part.forward = forward
    return forwards


@torch.no_grad()
def _by_itself(module: nn.Module) -> bool:
    """Whether a module gives each of three tokens alone what it gives it beside the others, and draws nothing."""
    weights = [weight for weight in module.parameters() if weight.dim() == 2 and weight.is_floating_point()]
    if not weights or weights[0].is_meta or any(isinstance(one, nn.Dropout) and one.p for one in module.modules()):
        return False
    width = {size for weight in weights for size in weight.shape}
    for size in width:
        numbers = torch.linspace(-1, 2, 3 * size, device=weights[0].device).view(1, 3, size).to(weights[0].dtype)
        try:
            together, alone = module(numbers), [module(numbers[:, place : place + 1]) for place in range(3)]
        except MODEL_ERRORS:
            continue
        if not isinstance(together, Tensor) or together.shape[:2] != (1, 3):
            return False
        return bool((together - torch.cat(alone, dim=1)).norm() <= SAME * together.norm())
    return False
