"""Rows in batches, by their lengths: at random for training, the longest first for reading."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUCKET_FACTOR = 16
"""Batches' worth of shuffled rows that are sorted by length together: more means less padding and less chance."""


def bucketed_batches(
    lengths: NDArray[Any], batch_size: int, generator: np.random.Generator, bucket_factor: int = BUCKET_FACTOR
) -> list[NDArray[np.int64]]:
    """Every row once, in random batches of like lengths, so that little is padded.

    The rows are shuffled, cut into buckets of `bucket_factor` batches, sorted by length within each, and cut into
    batches; then the batches are shuffled.

    Args:
        lengths: (rows,).
        batch_size: rows of a batch; one of a bucket's may have fewer where the rows do not divide.
        generator: gives both orders.
        bucket_factor: batches sorted together.
    """
    batches: list[NDArray[np.int64]] = []
    for rows in _buckets(lengths, batch_size * bucket_factor, generator):
        batches.extend(np.split(rows, range(batch_size, len(rows), batch_size)))
    return [batches[index] for index in generator.permutation(len(batches))]


def token_batches(
    lengths: NDArray[Any], max_tokens: int, generator: np.random.Generator, bucket_factor: int = BUCKET_FACTOR
) -> list[NDArray[np.int64]]:
    """Like :func:`bucketed_batches`, with as many rows in a batch as keep rows x longest length within `max_tokens`.

    A row that is longer than `max_tokens` is a batch of its own.

    Args:
        lengths: (rows,), in tokens.
        max_tokens: most tokens of a batch, padding counted.
        generator: gives both orders.
        bucket_factor: batches (of rows of mean length) sorted together.
    """
    if not len(lengths):
        return []
    bucket = int(np.ceil(bucket_factor * max(1.0, max_tokens / max(1.0, float(np.mean(lengths))))))
    batches: list[NDArray[np.int64]] = []
    for rows in _buckets(lengths, bucket, generator):
        start = 0
        while start < len(rows):
            count = max(1, int(max_tokens // max(1, lengths[rows[start]])))
            batches.append(rows[start : start + count])
            start += count
    return [batches[index] for index in generator.permutation(len(batches))]


def random_batches(rows: int, batch_size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every row once, in random batches, whatever the lengths."""
    order = generator.permutation(rows)
    return np.split(order, range(batch_size, rows, batch_size)) if rows else []


def packed_batches(
    lengths: NDArray[Any], max_tokens: int, generator: np.random.Generator, bucket_factor: int = BUCKET_FACTOR
) -> list[NDArray[np.int64]]:
    """Every row once, as many in a batch as stay within `max_tokens` end to end, in random order.

    The rows are shuffled and cut into buckets of `bucket_factor` batches; in a bucket each row, the longest first, goes
    into the fullest batch that still has room for it, so that a batch is nearly always full.

    Args:
        lengths: (rows,), in tokens; a longer row than `max_tokens` is a batch of its own.
        max_tokens: most tokens of a batch.
        generator: gives both orders.
        bucket_factor: batches filled together.
    """
    if not len(lengths):
        return []
    bucket = int(np.ceil(bucket_factor * max(1.0, max_tokens / max(1.0, float(np.mean(lengths))))))
    batches: list[list[int]] = []
    for rows in _buckets(lengths, bucket, generator):
        open_batches: list[list[int]] = []
        room: list[int] = []
        for row in rows.tolist():
            length = int(lengths[row])
            fitting = [place for place, left in enumerate(room) if left >= length]
            if fitting:
                place = min(fitting, key=lambda one: room[one])
                open_batches[place].append(row)
                room[place] -= length
            else:
                open_batches.append([row])
                room.append(max_tokens - length)
        batches.extend(open_batches)
    return [np.asarray(batches[index], dtype=np.int64) for index in generator.permutation(len(batches))]


def micro_batches(
    lengths: NDArray[Any], batch_size: int, batch_tokens: int | None, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Random batches of like lengths, by rows or, where `batch_tokens` is given, by tokens."""
    if batch_tokens is None:
        return bucketed_batches(lengths, batch_size, generator)
    return token_batches(lengths, batch_tokens, generator)


def sorted_batches(lengths: NDArray[Any], batch_size: int) -> list[NDArray[np.int64]]:
    """Every row once, the longest first, in batches of like lengths: for reading, where order does not matter."""
    order = _longest_first(lengths, np.arange(len(lengths)))
    return np.split(order, range(batch_size, len(order), batch_size)) if len(order) else []


def in_parts(rows: NDArray[np.int64], counts: NDArray[Any], most: int) -> list[NDArray[np.int64]]:
    """Rows (M,) in as many parts, in their order, as hold no more than `most` together; one row may hold more.

    Args:
        rows: the rows.
        counts: what each of them holds, (M,).
        most: of a part.
    """
    parts, held = [0], 0
    for place, count in enumerate(counts.tolist()):
        if place and held + count > most:
            parts, held = [*parts, place], 0
        held += count
    return np.split(rows, parts[1:])


def _buckets(lengths: NDArray[Any], size: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Shuffled rows in buckets, the longest first within each."""
    order = generator.permutation(len(lengths))
    for start in range(0, len(order), size):
        yield _longest_first(lengths, order[start : start + size])


def _longest_first(lengths: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.argsort(-lengths[rows].astype(np.int64), kind="stable")]
