"""Streams: a user's history as one sequence, in which each event is read once and predicted once.

Attention looks back over the last `window` items, so a target needs no window of its own. A history that is longer than
a stream may be (`length` inputs) is cut into pieces. Each piece after the first begins with `window` inputs whose
targets are the piece's before:

    positions  0 1 2 3 4 5 6 7 8 9 …       length 6, window 2
    piece 0    ‾‾‾‾‾‾‾‾‾‾‾                 inputs 0..5, targets 1..6
    piece 1            ‾‾‾‾‾‾‾‾‾‾‾         inputs 4..9, targets 7..10

Which piece predicts a target follows from the target's position alone, so it does not change as the history grows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.data.batches import in_parts, sorted_batches
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows

LongArray = NDArray[np.int64]


def piece_starts(positions: NDArray[Any], length: int, window: int) -> LongArray:
    """Where the piece begins that predicts each target: int64 (rows,).

    Args:
        positions: of the targets, from 1.
        length: most inputs of a piece; more than `window`.
        window: inputs that a piece shares with the one before.
    """
    step = length - window
    pieces = -(-(np.asarray(positions, dtype=np.int64) - length) // step)
    starts: LongArray = np.maximum(pieces, 0) * step
    return starts


def training_streams(data: PreparedData, length: int, window: int) -> Windows:
    """Streams in which every training target stands once, users in order; see :func:`piece_starts`."""
    ends = data.trained_ends.astype(np.int64)
    return _pieces(np.ones_like(ends), ends - 1, length, window)


def export_streams(data: PreparedData, length: int, window: int, reach: int, together: bool) -> Windows:
    """Streams in which every training target and every validation target stands once.

    Args:
        data: the histories.
        length: see :func:`piece_starts`.
        window: see :func:`piece_starts`.
        reach: see :func:`target_streams`.
        together: whether a stream may predict targets of both kinds. False: training targets first, then those of
            validation.
    """
    trained, unseen = data.trained_ends.astype(np.int64), np.maximum(data.train_ends.astype(np.int64), 1)
    last = data.validation_ends.astype(np.int64) - 1
    if together:
        return _shortened(_pieces(np.where(trained > 0, 1, unseen), last, length, window), reach)
    train, validation = training_streams(data, length, window), _pieces(unseen, last, length, window)
    pairs = zip(vars(train).values(), vars(_shortened(validation, reach)).values(), strict=True)
    return Windows(*(np.concatenate(pair) for pair in pairs))


def target_streams(data: PreparedData, targets: Targets, length: int, window: int, reach: int) -> Windows:
    """For each target what a stream shows of the history before it, as a window with that one target.

    Args:
        data: the histories.
        targets: the targets.
        length: see :func:`piece_starts`.
        window: see :func:`piece_starts`.
        reach: inputs before its own on which a state can depend. With n blocks that each look back over `window` items,
            their own included, those are n (window - 1); what lies further back is not read.

    Raises:
        ValueError: a target is nobody's, or has no item before it.
    """
    positions = targets.positions.astype(np.int64)
    if len(targets) and not ((positions >= 1) & (positions < np.diff(data.offsets)[targets.users])).all():
        raise ValueError("targets must lie inside the histories, behind the first item")
    return _shortened(_windows(targets.users, piece_starts(positions, length, window), positions, positions), reach)


def few_inputs(windows: Windows, rows: NDArray[Any], most: int) -> list[LongArray]:
    """Rows in as many parts, in their order, as have no more than `most` inputs each; one row may have more."""
    return in_parts(rows, windows.lengths[rows], most)


def reading_batches(windows: Windows, lengths: NDArray[Any], size: int, most: int | None) -> list[LongArray]:
    """Every window once, the longest prompts first.

    Args:
        windows: all windows.
        lengths: tokens of their prompts, (windows,).
        size: windows of a batch.
        most: inputs of a batch at most, or one window; None: whatever `size` windows have.
    """
    batches = sorted_batches(lengths, size)
    return batches if most is None else [part for rows in batches for part in few_inputs(windows, rows, most)]


def _pieces(first: LongArray, last: LongArray, length: int, window: int) -> Windows:
    """The pieces that predict the targets at positions `first`..`last` of each user; int64 (users,) each."""
    users = np.flatnonzero(last >= first)
    first, last = first[users], last[users]
    step, begins = length - window, piece_starts(first, length, window)
    counts = (piece_starts(last, length, window) - begins) // step + 1
    rows = np.repeat(np.arange(len(users)), counts)
    turns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = begins[rows] + turns * step
    own = np.where(starts == 0, 1, starts + window + 1)
    return _windows(users[rows], starts, np.minimum(starts + length, last[rows]), np.maximum(own, first[rows]))


def _shortened(windows: Windows, reach: int) -> Windows:
    """The windows without the inputs that their first targets do not depend on."""
    starts = np.maximum(windows.starts, windows.first_targets.astype(np.int64) - 1 - reach)
    return _windows(windows.users, starts, windows.ends, windows.first_targets)


def _windows(*arrays: NDArray[Any]) -> Windows:
    return Windows(*(np.ascontiguousarray(array, dtype=np.int32) for array in arrays))
