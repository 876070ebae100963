"""Attention over the last items of a stream, in blocks, so that its cost grows with the stream's length and no faster.

A packed row holds streams end to end. A token sees, of its own stream, itself and what stands before it: tokens of the
last `window` items, its own item included, and the words at the stream's head (as an attention sink, Xiao et al. 2024).
The window is counted in items, whatever the number of their tokens.

    tokens   h h a a a b c c d d d      window 2, a block of 4 queries
    queries              b c c d
    keys     h h a a a b c c d          the head, then from the first token that the block's first query sees

Queries are cut into blocks. Each block is given its keys (a look-up), and one call of SDPA with a mask runs them all.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recdistill.language_models.packing import Packing, end_to_end, side_by_side

BLOCK, PICKED_BLOCK = 64, 16
"""Queries of a block where windows are short; at most a quarter of the keys of a block are then outside its window.
Picked queries stand apart, one an item: their blocks are smaller."""


@dataclass(frozen=True)
class Sliding:
    """Where the tokens of a packed row stand when its queries are put into N blocks of C, each with K keys.

    Attributes:
        queries: the row's tokens, or `picked`, in blocks, as :class:`Packing` has them in prompts.
        keys: int64 (N·K,), the row's token at each place of a key; 0 where a block has fewer.
        bias: (N, 1, C, K), 0 where a query sees a key, -inf elsewhere.
        span: tokens from a query back to the first that it sees, at most.
        picked: int64 (M,), the tokens that alone are queries; None: all. What the others would get is zero.
    """

    queries: Packing
    keys: Tensor
    bias: Tensor
    span: int
    picked: Tensor | None = None

    @classmethod
    def of(
        cls,
        lengths: Tensor,
        steps: Tensor,
        window: int,
        dtype: torch.dtype,
        block: int = BLOCK,
        picked: Tensor | None = None,
    ) -> "Sliding":
        """For streams of these lengths, end to end in a row.

        Args:
            lengths: int64 (B,), tokens of each stream, on the CPU.
            steps: int64 (T,), the item of its stream that each token belongs to, from 1, ascending; 0 at the words at
                its head. On the CPU.
            window: items that a token sees, its own included.
            dtype: of the queries.
            block: C.
            picked: int64 (M,), ascending, the tokens that alone are queries; on the CPU. None: all.
        """
        starts = lengths.cumsum(0) - lengths
        prompts = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        asked = torch.arange(len(prompts)) if picked is None else picked  # (M,)
        places, stream, real = _in_blocks(torch.bincount(prompts[asked], minlength=len(lengths)), block)
        queries = torch.where(real, asked[places], 0)  # (N, C)
        begins, ends = queries[:, 0], queries.max(dim=1).values + 1
        heads = torch.zeros(len(lengths), dtype=torch.int64)
        heads.index_add_(0, prompts, (steps == 0).long())
        # Steps ascend within a stream: made ascending over the row, one search finds each block's first visible token.
        ladder = steps + prompts * (int(steps.max()) + window + 1)
        sees = torch.searchsorted(ladder, ladder[begins] - window, right=True)
        head = heads[stream]
        sees = torch.maximum(sees, starts[stream] + head)
        width = int((head + (ends - sees).clamp_min(0)).max())
        columns = torch.arange(width)
        keys = (
            torch.where(columns < head.unsqueeze(1), starts[stream].unsqueeze(1), (sees - head).unsqueeze(1)) + columns
        )
        there = keys < ends.unsqueeze(1)
        keys = torch.where(there, keys, 0)
        key_steps, own = steps[keys].unsqueeze(1), steps[queries].unsqueeze(2)
        visible = there.unsqueeze(1) & (keys.unsqueeze(1) <= queries.unsqueeze(2))
        visible &= (key_steps == 0) | (key_steps > own - window)
        visible[~real] = False
        visible[..., 0] |= ~real  # a softmax over nothing would not be a number
        span = int((queries.unsqueeze(2) - keys.unsqueeze(1)).masked_fill(~visible, 0).max()) + 1
        bias = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -torch.inf)
        in_blocks = real.flatten()
        rows = Packing(
            places.flatten(), in_blocks[:, None, None].to(dtype), torch.nonzero(in_blocks).squeeze(1), len(stream), 0
        )
        return cls(rows, keys.flatten(), bias.unsqueeze(1), span, picked)

    def to(self, device: torch.device | str) -> "Sliding":
        """The same on `device`."""
        picked = None if self.picked is None else self.picked.to(device)
        return Sliding(self.queries.to(device), self.keys.to(device), self.bias.to(device), self.span, picked)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Attention within each stream's window: (1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
        return _attend(query, key, value, self, scaling, dropout)


def _attend(query: Tensor, key: Tensor, value: Tensor, sliding: Sliding, scaling: float, dropout: float) -> Tensor:
    """Attention within each stream's window: (1, heads, T, d) and (1, key heads, T, d) to (1, T, heads, d)."""
    blocks, asked = sliding.queries.prompts, query[0].transpose(0, 1)
    if sliding.picked is not None:
        asked = asked.index_select(0, sliding.picked)
    queries = side_by_side(asked, sliding.queries).view(blocks, -1, *_shape(query)).transpose(1, 2)
    keys, values = (
        one[0].transpose(0, 1).index_select(0, sliding.keys).view(blocks, -1, *_shape(one)).transpose(1, 2)
        for one in (key, value)
    )
    out = nn.functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=sliding.bias,
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    flat = out.transpose(1, 2).reshape(-1, out.shape[1], out.shape[3])  # (blocks · C, heads, d)
    found = end_to_end(flat, sliding.queries)
    if sliding.picked is not None:
        found = found.new_zeros(query.shape[2], *found.shape[1:]).index_copy(0, sliding.picked, found)
    return found.unsqueeze(0)


def _in_blocks(counts: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of these lengths (B,), end to end, in blocks: places (N, C), 0 where not real; row (N,); real (N, C)."""
    starts, blocks = counts.cumsum(0) - counts, -(-counts // block)
    row = torch.repeat_interleave(torch.arange(len(counts)), blocks)
    turn = torch.arange(len(row)) - torch.repeat_interleave(blocks.cumsum(0) - blocks, blocks)
    places = (starts[row] + turn * block).unsqueeze(1) + torch.arange(block)
    real = places < (starts + counts)[row].unsqueeze(1)
    return torch.where(real, places, 0), row, real


def _shape(one: Tensor) -> tuple[Any, Any]:
    """Heads and width of a head."""
    return one.shape[1], one.shape[3]
