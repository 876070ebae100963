"""Prompts end to end in one row, without padding: what attention needs to keep them apart.

Every layer but attention works on single tokens, so a packed row (1, T) costs what its tokens cost. Attention alone
puts the prompts side by side again, as (B, longest), runs the ordinary causal kernel over them, and takes the real
tokens back. Padding there costs next to nothing: attention is a few per cent of a short prompt's work.

    row          a a a b b c c c c          T = 9
    side by side a a a ·   b b · ·   c c c c

Attention kernels that know packed rows themselves (flash_attention_2's variable lengths, flex_attention's block masks,
and eager's mask) are left to transformers, which finds the prompts by their positions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recdistill.errors import UserError

PACKED_SDPA = "packed_sdpa"
"""The name under which transformers finds :func:`packed_sdpa`."""
PACKING_KEYWORD = "packing"


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a packed row stand when its B prompts are put side by side, L tokens wide.

    Attributes:
        sources: int64 (B·L,), the row's token at each place; 0 at padding.
        real: fp32 or narrower (B·L, 1, 1), 1 at real tokens, 0 at padding.
        places: int64 (T,), the place of each token of the row; 0 for the tokens of no prompt at its end.
        prompts: B.
        spare: tokens of no prompt, at the row's end.
    """

    sources: Tensor
    real: Tensor
    places: Tensor
    prompts: int
    spare: int

    @classmethod
    def of(cls, lengths: Tensor, tokens: int, dtype: torch.dtype) -> "Packing":
        """For prompts of these lengths, int64 (B,) on the CPU, in a row of `tokens` tokens; made on the CPU."""
        longest = int(lengths.max())
        starts = lengths.cumsum(0) - lengths
        columns = torch.arange(longest)
        inside = columns < lengths.unsqueeze(1)
        sources = torch.where(inside, starts.unsqueeze(1) + columns, 0).flatten()
        spare = tokens - int(lengths.sum())
        places = torch.cat([torch.nonzero(inside.flatten()).squeeze(1), torch.zeros(spare, dtype=torch.int64)])
        return cls(sources, inside.flatten()[:, None, None].to(dtype), places, len(lengths), spare)

    def to(self, device: torch.device | str) -> "Packing":
        """The same on `device`."""
        sources, real, places = (part.to(device) for part in (self.sources, self.real, self.places))
        return Packing(sources, real, places, self.prompts, self.spare)

    @property
    def span(self) -> int:
        """Tokens from a query back to the first that it sees, at most."""
        return len(self.sources) // self.prompts

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Causal attention within each prompt: (1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
        return _attend(query, key, value, self, scaling, dropout)


class Attended(Protocol):
    """How a packed row is attended to, brought by the call."""

    @property
    def span(self) -> int:
        """Tokens from a query back to the first that it sees, at most."""
        ...

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """(1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
        ...


class _SideBySide(torch.autograd.Function):
    """(T, heads, d) to (B·L, heads, d). Padding repeats the first token; no real token ever attends to it."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return row.index_select(0, packing.sources)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Each token stands in one place, so going back is another look-up and no sum.
        packing: Packing = ctx.packing
        back = grads[0].index_select(0, packing.places)
        if packing.spare:
            back[-packing.spare :] = 0
        return back, None


class _EndToEnd(torch.autograd.Function):
    """(B·L, heads, d) to (T, heads, d)."""

    @staticmethod
    def forward(ctx: Any, places: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return places.index_select(0, packing.places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        packing: Packing = ctx.packing
        return grads[0].index_select(0, packing.sources) * packing.real, None


def side_by_side(row: Tensor, packing: Packing) -> Tensor:
    """(T, heads, d) to (B·L, heads, d)."""
    return _SideBySide.apply(row, packing)  # type: ignore[no-any-return, no-untyped-call]


def end_to_end(places: Tensor, packing: Packing) -> Tensor:
    """(B·L, heads, d) to (T, heads, d)."""
    return _EndToEnd.apply(places, packing)  # type: ignore[no-any-return, no-untyped-call]


def _attend(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, dropout: float) -> Tensor:
    """Causal attention within each prompt: (1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
    side = [side_by_side(one[0].transpose(0, 1), packing) for one in (query, key, value)]
    # (prompts · longest, heads, d) to (prompts, heads, longest, d)
    queries, keys, values = (one.view(packing.prompts, -1, *one.shape[1:]).transpose(1, 2) for one in side)
    out = nn.functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        dropout_p=dropout,
        scale=scaling,
        is_causal=True,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    flat = out.transpose(1, 2).reshape(-1, out.shape[1], out.shape[3])  # (prompts · longest, heads, d)
    return end_to_end(flat, packing).unsqueeze(0)


def _attended(packing: Attended, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
    """(1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
    return packing.attend(query, key, value, scaling, dropout)


def packed_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    attended: Callable[..., Tensor] = _attended,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """SDPA over a packed row where the call brings an :class:`Attended`, transformers' own SDPA where it does not.

    What `attended` does is left out of compiled graphs; it is given when transformers is told of this function.

    Raises:
        UserError: the model asks for more than plain causal attention.
    """
    packing: Attended | None = kwargs.pop(PACKING_KEYWORD, None)
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    for wish in ("sliding_window", "softcap", "position_bias"):
        asked = kwargs.get(wish)
        if asked is not None and not (wish == "sliding_window" and packing.span <= asked):
            raise UserError(
                f"teacher.padding: packed with attention sdpa cannot do this language model's {wish}; "
                "use padding: bucketed"
            )
    return attended(packing, query, key, value, scaling, dropout), None


@cache
def register_packed_sdpa() -> None:
    """Let transformers find :func:`packed_sdpa`: before a model is loaded, since importing it takes seconds."""
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(PACKED_SDPA, partial(packed_sdpa, attended=torch.compiler.disable(_attended)))
