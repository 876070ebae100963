"""Rows of tokens that are read piece by piece, with the keys and values of what was read kept.

Pieces are padded to the right, so padding lies between the tokens of the cache. A mask keeps it from being attended to.
Windows need more: transformers counts a window in places of the cache, padding included. So sliding layers keep
all keys and values here, and the mask says what lies in the window, counted in real tokens.

A window that is counted in items is a :class:`ItemWindow`; keys and values that no row will see again are let go.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from recdistill.language_models.packing import PACKED_SDPA

FULL, SLIDING = "full_attention", "sliding_attention"
"""transformers' names for the two masks of a model that has windows in some blocks only."""


class ItemWindow:
    """The last `length` items of each row, and the words at its head.

    Attributes:
        steps: int64 (B, T), the item that each token of the cache belongs to, from 1; 0 at the head and at padding.
    """

    def __init__(self, rows: int, length: int) -> None:
        self.length = length
        self.steps = torch.zeros(rows, 0, dtype=torch.int64)

    def sees(self, new: Tensor) -> Tensor:
        """Which tokens of the cache, with new ones of these steps (B, T) in it, each of these looks back to."""
        self.steps = torch.cat([self.steps, new], dim=1)
        before = self.steps.unsqueeze(1)
        return (before == 0) | (before > new.unsqueeze(2) - self.length)

    def keep(self, seen: Tensor) -> Tensor:
        """Places of the cache, int64, that some row's next item will look back to; `seen`: bool (B, T)."""
        newest = self.steps.max(dim=1, keepdim=True).values
        wanted = seen & ((self.steps == 0) | (self.steps > newest + 1 - self.length))
        kept = torch.nonzero(wanted.any(dim=0)).squeeze(1)
        self.steps = self.steps[:, kept]
        return kept


class CachedReading:
    """B rows of tokens, read piece by piece.

    Args:
        decoder: a decoder of transformers.
        rows: B.
        window: items that a row looks back on; None: all.

    Attributes:
        seen: bool (B, T), which tokens of the cache are real.
        counts: int64 (B,), tokens read of each row.
    """

    def __init__(self, decoder: Any, rows: int, window: int | None = None) -> None:
        self.decoder = decoder
        self.items = None if window is None else ItemWindow(rows, window)
        self.counts = torch.zeros(rows, dtype=torch.int64)
        self.cache: Any = DynamicCache(config=decoder.config)
        self.seen = torch.zeros(rows, 0, dtype=torch.bool)
        layers = getattr(self.cache, "layers", [])
        sliding = [type(layer) is DynamicSlidingWindowLayer for layer in layers]
        self.windows = {int(one.sliding_window) for one, is_sliding in zip(layers, sliding, strict=True) if is_sliding}
        self.is_mixed = any(sliding) and not all(sliding)
        if len(self.windows) == 1:
            self.cache.layers = [
                DynamicLayer() if is_sliding else one for one, is_sliding in zip(layers, sliding, strict=True)
            ]

    def read(self, inputs: Tensor, real: Tensor, steps: Tensor | None = None, **options: Any) -> Tensor:
        """Read a piece of each row.

        Args:
            inputs: embeddings (B, T, H), padded to the right.
            real: bool (B, T), on the CPU; a row may have none.
            steps: int64 (B, T), the item that each token belongs to, from 1, 0 at a row's head, on the CPU; only where
                the window is counted in items.
            options: handed on to the decoder.

        Returns:
            The last hidden states (B, T, H).
        """
        places = (self.counts.unsqueeze(1) + real.cumsum(dim=1) - 1).clamp_min(0)
        mask = self._mask(real, places, inputs, steps)
        self.seen, self.counts = torch.cat([self.seen, real], dim=1), self.counts + real.sum(dim=1)
        hidden: Tensor = self.decoder(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=places.to(inputs.device),
            past_key_values=self.cache,
            use_cache=True,
            **options,
        ).last_hidden_state
        if self.items is not None:
            self._let_go(self.items.keep(self.seen))
        return hidden

    def _let_go(self, kept: Tensor) -> None:
        """Keep these places of the cache alone."""
        self.seen = self.seen[:, kept]
        for layer in self.cache.layers:
            where = kept.to(layer.keys.device)
            layer.keys, layer.values = layer.keys.index_select(2, where), layer.values.index_select(2, where)

    def _mask(self, real: Tensor, places: Tensor, inputs: Tensor, steps: Tensor | None) -> Any:
        """What the new tokens may attend to: real tokens of the cache, and new ones up to themselves."""
        attention: str = self.decoder.config._attn_implementation
        has_windows = len(self.windows) == 1 and attention in (PACKED_SDPA, "sdpa", "eager")
        if attention != PACKED_SDPA and not has_windows:
            return torch.cat([self.seen, real], dim=1).long().to(inputs.device)  # transformers makes the rest of it
        width = real.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool).tril() & real.unsqueeze(1)
        before = self.seen.unsqueeze(1).expand(-1, width, -1)
        # A padding token sees itself at least: a softmax over nothing would not be a number.
        itself = torch.cat([torch.zeros(before.shape, dtype=torch.bool), torch.eye(width).bool().expand_as(causal)], 2)
        full = torch.cat([before, causal], dim=2)
        if self.items is not None and steps is not None:
            full &= self.items.sees(steps)
        full |= itself
        if not has_windows:
            return _as_taken(full, attention, inputs)
        where = torch.cat([self.seen, real], dim=1).cumsum(dim=1) - 1
        near = places.unsqueeze(2) - where.unsqueeze(1) < next(iter(self.windows))
        sliding = _as_taken(full & near | itself, attention, inputs)
        return {FULL: _as_taken(full, attention, inputs), SLIDING: sliding} if self.is_mixed else sliding


def _as_taken(mask: Tensor, attention: str, inputs: Tensor) -> Tensor:
    """A bool mask (B, T, T') as (B, 1, T, T'), in the form that the attention takes: eager adds it to its scores."""
    mask = mask.unsqueeze(1).to(inputs.device)
    if attention != "eager":
        return mask
    return torch.zeros(mask.shape, dtype=inputs.dtype, device=inputs.device).masked_fill(
        ~mask, torch.finfo(inputs.dtype).min
    )
