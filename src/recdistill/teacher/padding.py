"""Which prompts share a micro-batch, and how wide it is: `teacher.padding`, `train.batch_tokens`, compile's lengths."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from recdistill.config import TeacherConfig
from recdistill.data.batches import micro_batches, packed_batches, random_batches
from recdistill.data.block_shuffle import by_blocks

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """The padded shape of a micro-batch.

    Attributes:
        width: tokens of each row; None: as many as the longest prompt has (packed: as all prompts have).
        rows: rows, empty ones at the end; None: one a prompt (packed: one).
    """

    width: int | None = None
    rows: int | None = None


def training_batches(
    config: TeacherConfig, lengths: NDArray[np.int64], longest: int, generator: np.random.Generator
) -> list[Rows]:
    """An epoch's micro-batches in random order.

    Args:
        config: `padding`, `train.batch_size`, `train.batch_tokens` and `train.shuffle_block` are read.
        lengths: (prompts,), in tokens.
        longest: width of every prompt with `fixed`.
        generator: gives the order.
    """
    return by_blocks(
        lengths, config.train.shuffle_block, generator, lambda some: _batches(config, some, longest, generator)
    )


def _batches(
    config: TeacherConfig, lengths: NDArray[np.int64], longest: int, generator: np.random.Generator
) -> list[Rows]:
    """Micro-batches of all these rows in random order."""
    size, tokens = config.train.batch_size, config.train.batch_tokens
    if config.padding == "fixed" and tokens is not None:
        size = max(1, tokens // longest)
    match config.padding:
        case "fixed":
            return random_batches(len(lengths), size, generator)
        case "longest":
            batches = random_batches(len(lengths), size, generator)
            return batches if tokens is None else _split(batches, lengths, tokens)
        case "packed" if tokens is not None:
            return packed_batches(lengths, tokens, generator)
        case "packed" | "bucketed":
            return micro_batches(lengths, size, tokens, generator)
        case _:
            assert_never(config.padding)


def _split(batches: list[Rows], lengths: NDArray[np.int64], tokens: int) -> list[Rows]:
    """Cut random batches wherever one more row would bring rows x longest above `tokens`."""
    order = np.concatenate(batches) if batches else np.empty(0, dtype=np.int64)
    found: list[list[int]] = []
    longest = 0
    for row in order.tolist():
        longest = max(longest, int(lengths[row]))
        if not found or longest * (len(found[-1]) + 1) > tokens:
            found.append([])
            longest = int(lengths[row])
        found[-1].append(row)
    return [np.asarray(rows, dtype=np.int64) for rows in found]


class Shapes:
    """The shape that each micro-batch is padded to.

    Without compilation a batch is as wide as it must be (`fixed`: as the longest prompt there is). With it, shapes come
    from a short list: `compile_buckets` widths, chosen so that as little as possible is padded, times a fixed number of
    rows.

    Args:
        config: the teacher's settings.
        lengths: (prompts,), tokens of all prompts that will be read.
    """

    def __init__(self, config: TeacherConfig, lengths: NDArray[np.int64]) -> None:
        self.config = config
        self.longest = int(lengths.max(initial=1))
        count = config.compile_buckets if config.compile and config.padding == "bucketed" else 1
        self.widths = bucket_widths(lengths, count) if len(lengths) else [1]

    def rounded(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The width that each prompt will take at least: (prompts,)."""
        if not self.config.compile or self.config.padding != "bucketed":
            return lengths
        places = np.minimum(np.searchsorted(self.widths, lengths), len(self.widths) - 1)
        return np.maximum(np.asarray(self.widths, dtype=np.int64)[places], lengths)

    def of(self, lengths: NDArray[np.int64], rows: int | None) -> Shape:
        """For a micro-batch of prompts of these lengths.

        Args:
            lengths: (B,).
            rows: rows of a full batch, which a compiled one always has; None: as many as `batch_tokens` allow.
        """
        config, longest = self.config, int(lengths.max())
        if config.padding == "packed":
            return Shape(width=self._packed_width(int(lengths.sum()))) if config.compile else Shape()
        if config.padding == "fixed":
            width = max(longest, self.longest)
            return Shape(width=width, rows=self._rows(len(lengths), width, rows) if config.compile else None)
        if not config.compile:
            return Shape()
        width = int(self.rounded(lengths).max())
        return Shape(width=width, rows=self._rows(len(lengths), width, rows))

    def _rows(self, prompts: int, width: int, rows: int | None) -> int:
        """Rows of a compiled batch."""
        full = rows if rows is not None else (self.config.train.batch_tokens or 0) // width
        return max(prompts, full)

    def _packed_width(self, tokens: int) -> int:
        """A packed and compiled row is `batch_tokens` long, or a multiple of it where it was read by rows."""
        full = self.config.train.batch_tokens or tokens
        return -(-tokens // full) * full


def bucket_widths(lengths: NDArray[np.int64], count: int) -> list[int]:
    """At most `count` widths, ascending, the last the longest length, with the fewest padded tokens in all.

    A table over the distinct lengths: the cost of the first j of them in b buckets is the best over where the last
    bucket begins.
    """
    distinct, numbers = np.unique(lengths, return_counts=True)
    many, count = len(distinct), min(count, len(distinct))
    total = np.concatenate([[0], np.cumsum(numbers)])
    best = np.full((count + 1, many + 1), np.inf)
    came = np.zeros((count + 1, many + 1), dtype=np.int64)
    best[0, 0] = 0
    for bucket in range(1, count + 1):
        for end in range(1, many + 1):
            # Rows total[begin]..total[end] are all padded to the length distinct[end - 1].
            costs = best[bucket - 1, :end] + (total[end] - total[:end]) * float(distinct[end - 1])
            came[bucket, end] = int(np.argmin(costs))
            best[bucket, end] = costs[came[bucket, end]]
    widths, end = [], many
    for bucket in range(count, 0, -1):
        widths.append(int(distinct[end - 1]))
        end = int(came[bucket, end])
    return widths[::-1]
