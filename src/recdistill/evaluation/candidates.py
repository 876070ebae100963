"""Random candidates beside each target: the protocol of the papers on LLM recommenders, with the candidates kept.

LLaRA (Liao et al., SIGIR 2024) and iLoRA (Kong et al., NeurIPS 2024) choose one of 20 items, the target and 19 drawn
from those that the user has not interacted with, and report how often it is the target (HitRatio@1). LLaRA's code draws
anew whenever a row is read, and leaves out what the prompt shows of the history, its latest ten items. Here the whole
history is left out, and a row's candidates follow from the seed and the row's key alone and are kept.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.results import Fingerprints, Metrics
from recdistill.storage.files import map_array
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

FILE = "candidates.npy"
"""int32 (rows, C), beside `metrics.json`, in the order of `users.npy` and `positions.npy`."""


def draw_candidates(data: PreparedData, targets: Targets, count: int, seed: int) -> IntArray:
    """Draw each row's candidates, all different, evenly from the items that are neither target nor in the history.

    The history is the whole one before the target, also what a model's window has cut off. What comes after the target
    may be drawn. A row whose history leaves fewer items than that gets none, and is no part of the protocol.

    Args:
        data: the histories.
        targets: the rows.
        count: C, candidates a row.
        seed: with a row's user and position it makes the row's generator, so that a row's candidates do not depend on
            what other rows there are.

    Returns:
        int32 (rows, C), in no order that means anything; 0 in the rows that get none.

    Raises:
        UserError: see :func:`check_candidates`.
    """
    check_candidates(data, targets, count)
    drawn = np.zeros((len(targets), count), dtype=np.int32)
    for row, (user, position) in enumerate(zip(targets.users.tolist(), targets.positions.tolist(), strict=True)):
        left_out = np.unique(data.history(user, position + 1))
        left = data.num_items - len(left_out)
        if left < count:
            continue
        places = np.random.default_rng((seed, user, position)).choice(left, count, replace=False)
        # Place p among the items left, from 0, is item p + 1 + the left-out items below it.
        below = left_out - np.arange(1, len(left_out) + 1)
        drawn[row] = places + 1 + np.searchsorted(below, places, side="right")
    if missing := int((drawn[:, 0] == 0).sum()):
        logger.warning(
            "evaluate.candidates: %s of %s targets are left out of this protocol, since their histories leave fewer "
            "than %d items to draw from",
            f"{missing:,}",
            f"{len(targets):,}",
            count,
        )
    return drawn


def check_candidates(data: PreparedData, targets: Targets, count: int) -> None:
    """Refuse more candidates than most rows have items to draw from.

    Raises:
        UserError: more than half of the rows have fewer than `count`; it says what would do.
    """
    # A history of p interactions holds p items at most, so only the rows of long ones need to be counted.
    left = np.maximum(data.num_items - (targets.positions.astype(np.int64) + 1), 0)
    rows = np.flatnonzero(left < count)
    for row, user, position in zip(rows.tolist(), targets.users[rows], targets.positions[rows], strict=True):
        left[row] = data.num_items - len(np.unique(data.history(int(user), int(position) + 1)))
    without = int((left < count).sum())
    if 2 * without <= len(targets):
        return
    enough = int(np.sort(left)[::-1][(len(left) - 1) // 2])  # so many are left to half of the rows at least
    lower = f"set it to {enough} or less, or to 0" if enough else "set it to 0"
    raise UserError(
        f"evaluate.candidates: {without:,} of {len(targets):,} targets have histories that leave fewer than {count} of "
        f"the catalog's {data.num_items:,} items to draw from; {lower} to leave this protocol out"
    )


class DrawnFor(NamedTuple):
    """What candidates were drawn for, as `metrics.json` beside them says."""

    split: str
    seed: int
    fingerprints: Fingerprints


def stored_candidates(folder: Path, expected: DrawnFor, shape: tuple[int, int]) -> IntArray | None:
    """The candidates that an earlier evaluation stored; None where there is none, or it was of something else.

    Args:
        folder: of the earlier evaluation.
        expected: what they must have been drawn for.
        shape: (rows, C).

    Raises:
        UserError: the file is missing or broken although `metrics.json` speaks of it.
    """
    if not (folder / "metrics.json").is_file():
        return None
    metrics = read_typed(folder / "metrics.json", Metrics)
    if DrawnFor(metrics["split"], metrics["seed"], metrics["fingerprints"]) != expected:
        return None
    if "candidates" not in metrics or metrics["candidates"]["random"] != shape[1]:
        return None
    stored: IntArray = np.array(map_array(folder / FILE))
    if stored.shape != shape or stored.dtype != np.int32:
        raise UserError(f"{folder / FILE}: {stored.dtype} {stored.shape}, not int32 {shape}; remove the evaluation")
    logger.info("evaluate: candidates read back from %s", folder / FILE)
    return stored
