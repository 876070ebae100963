"""Run the teacher once over every target, and keep what a student learns from."""

import logging
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import ExportConfig
from recdistill.config.evaluate import SCORE_MEMORY
from recdistill.data.batches import Windows, sorted_batches
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.distill.batch_size import Trial, find_batch_size
from recdistill.distill.evidence import EVIDENCE_FILE, ReadCounts, export_evidence, forget_counts
from recdistill.distill.exportable import Exportable, Growing, Keys
from recdistill.distill.lists import hide_history
from recdistill.distill.outputs import Fingerprints
from recdistill.distill.parts import StoreRows, write_parts
from recdistill.distill.writer import OutputsWriter
from recdistill.errors import UserError
from recdistill.evaluation.top_k import best_items, rows_at_a_time
from recdistill.interruption import Interrupted, deferred
from recdistill.measure.context import RunContext
from recdistill.storage.files import write_json

logger = logging.getLogger("recdistill")


class TopItems(NamedTuple):
    """The K best items of M targets: int32 (M, K), 0 in empty places, and their scores, fp32 (M, K), -inf there."""

    items: IntArray
    scores: NDArray[np.float32]


class ExportResult(NamedTuple):
    """How an export was done: prompts a batch, and the sizes that were tried for it."""

    batch_size: int
    trials: list[Trial]


@torch.inference_mode()
def export_outputs(
    teacher: Exportable,
    data: PreparedData,
    item_embeddings: Tensor,
    config: ExportConfig,
    context: RunContext,
    fingerprints: Fingerprints,
    score_memory: int = SCORE_MEMORY,
) -> ExportResult:
    """Write top-K items, scores and the user state of every training and validation target to the context's folder.

    The longest prompts come first, so that memory that does not suffice shows at once. An export that was stopped by a
    signal goes on after the batch that was read then, one that ended otherwise after its last whole shard. Several
    processes write a shard each, in turns; a batch that holds rows of two shards is read for each of them, so the store
    is the same to the byte with any number of processes.
    `evidence.json` is written before the file that says that the store is finished, so a finished store has it.

    Args:
        teacher: what is run.
        data: the histories.
        item_embeddings: (N + 1, H), the language model's embeddings of the titles.
        config: batch size, K, what lists leave out, rows of a shard.
        context: its folder is the store's; its profiler gets the phases `batch size`, `export` (the teacher runs) and
            `write` (waiting for the disk).
        fingerprints: what the store is made from.
        score_memory: MiB of scores held at a time (`evaluate.max_score_memory`): a batch with more is read in parts, of
            one window at least.

    Returns:
        How it was read.

    Raises:
        UserError: a score or a state is not a number, or the disk is full.
        ValueError: `config.exclude_seen` is left to the ranking, which is not known here.
        Interrupted: a signal came; what had been read then is written.
    """
    if config.exclude_seen is None:
        raise ValueError("exclude_seen is not decided; see RunConfig.decided_export")
    profiler, folder, processes = context.profiler, context.shared, context.processes
    windows = teacher.export_windows()
    lengths = teacher.prompt_lengths(windows)
    with profiler.phase("batch size"):
        found = _batch_size(teacher, windows, lengths, config.batch_size, context.device)
        processes.level()
        size, trials = processes.share(found)
    most_targets = rows_at_a_time(data.num_items, score_memory)
    batches = _plan(teacher, windows, lengths, size, config.use_cache, most_targets)
    ends = np.cumsum([0, *(int(windows.num_targets[batch.rows].sum()) for batch in batches)], dtype=np.int64)
    top_k, state_dim = min(config.top_k, data.num_items), teacher.state_dim if config.states else 0
    total, kept = int(ends[-1]), ReadCounts(folder, config.shard_rows)

    def predict(number: int) -> StoreRows:
        with profiler.phase("export"):
            return _predict(windows, batches[number], data, top_k, config)

    if not processes.is_first:
        processes.wait()  # until the first has opened the store
    opened = OutputsWriter(folder, fingerprints, top_k, state_dim, config.shard_rows, processes.is_first)
    with deferred(), opened as writer:
        if processes.is_first:
            writer.write_item_embeddings(item_embeddings.float().cpu().numpy())
            kept.put_back(total)
            processes.wait()
        missing = processes.share(writer.missing(total) if processes.is_first else [])
        there = total - sum(part.end - part.start for part in missing)
        try:
            write_parts(processes.own(missing), there, ends, predict, teacher.read, kept, writer, profiler)
        except Interrupted:  # The others may be in the middle of a batch.
            processes.level()
            raise
        processes.level()
        writer.flush()
        processes.wait()
        teacher.read.restore(kept.total(total).state())
        processes.wait()
        if processes.is_first:
            with profiler.phase("write"):
                together = int(np.bincount(teacher.readers(windows)).max(initial=0))
                write_json(folder / EVIDENCE_FILE, export_evidence(config, size, trials, teacher.read, together))
                writer.close()
                forget_counts(folder)
    return ExportResult(size, trials)


def _batch_size(
    teacher: Exportable, windows: Windows, lengths: NDArray[np.int64], wish: int | Literal["auto"], device: str
) -> tuple[int, list[Trial]]:
    """The prompts of a batch: as configured, or found on the longest prompts."""
    if wish != "auto":
        return wish, []
    longest = np.argsort(-lengths, kind="stable")
    return find_batch_size(lambda size: teacher.trial(windows, longest[:size]), len(windows), device)


class Reading(NamedTuple):
    """A batch of windows and how it is read: keys, user states (M, S), and the scores (M, N + 1) in pieces."""

    rows: LongArray
    predict: Callable[[Windows, LongArray], tuple[Keys, Tensor, Iterable[Tensor]]]


def _plan(
    teacher: Exportable,
    windows: Windows,
    lengths: NDArray[np.int64],
    size: int,
    use_cache: bool,
    most_targets: int,
) -> list[Reading]:
    """All windows in batches, reader by reader: those that grow by users, `size` together, the rest by length.

    A batch has at most `most_targets` targets, or one window.
    """
    cached = teacher.growing if use_cache else None
    growing = np.zeros(len(windows), dtype=np.bool_) if cached is None else cached.fits(windows)

    def whole(windows: Windows, rows: LongArray) -> tuple[Keys, Tensor, Iterable[Tensor]]:
        keys, states, scores = teacher.predict(windows, rows, size)
        return keys, states, [scores]

    readers, batches = teacher.readers(windows), []
    for reader in np.unique(readers):
        own = readers == reader
        rest = np.flatnonzero(own & ~growing)
        for rows in sorted_batches(lengths[rest], size):
            batches += [Reading(part, whole) for part in _few_targets(windows, rest[rows], most_targets)]
        if cached is not None:
            batches += _by_users(cached, windows, np.flatnonzero(own & growing), min(size, most_targets))
    return batches


def _few_targets(windows: Windows, rows: LongArray, most: int) -> list[LongArray]:
    """Rows in as many parts, in their order, as have no more than `most` targets each; one row may have more."""
    parts, held = [0], 0
    for place, count in enumerate(windows.num_targets[rows].tolist()):
        if place and held + count > most:
            parts, held = [*parts, place], 0
        held += count
    return np.split(rows, parts[1:])


def _by_users(cached: Growing, windows: Windows, rows: LongArray, size: int) -> list[Reading]:
    """Windows that grow, with `size` users in a batch."""

    def grown(windows: Windows, rows: LongArray) -> tuple[Keys, Tensor, Iterable[Tensor]]:
        # A group of users has as many targets as interactions: all their scores at once would be most of the memory.
        keys, states = cached.predict(windows, rows)
        return keys, states, (cached.scores(states[at : at + size]) for at in range(0, len(states), size))

    users, counts = np.unique(windows.users[rows], return_counts=True)
    groups = sorted_batches(counts, size)
    # A user's rows stand together, so that the order of all rows is the same with any number of users in a group.
    by_user = {int(user): rows[windows.users[rows] == user] for user in users}
    return [Reading(np.concatenate([by_user[int(user)] for user in users[group]]), grown) for group in groups]


def _predict(windows: Windows, batch: Reading, data: PreparedData, top_k: int, config: ExportConfig) -> StoreRows:
    """One batch of windows: the keys of its targets, their lists and, where they are kept, user states."""
    rows = batch.rows
    keys, states, pieces = batch.predict(windows, rows)
    targets = Targets(keys.users.cpu().numpy().astype(np.int32), keys.positions.cpu().numpy().astype(np.int32))
    expected = int(windows.num_targets[rows].sum())
    if len(targets) != expected:
        raise ValueError(f"the teacher made {len(targets)} predictions for {expected} targets")
    kept = (states if config.states else states[:, :0]).half()
    # States that are not kept need not be numbers in half precision.
    _check_numbers(bool(torch.isfinite(kept if config.states else states).all()))
    tops, start = [], 0
    for scores in pieces:
        _check_numbers(not bool(torch.isnan(scores[:, 1:]).any()))
        here = slice(start, start + len(scores))
        part = Targets(targets.users[here], targets.positions[here])
        tops.append(top_items(scores, data, part, top_k, bool(config.exclude_seen)))
        start += len(scores)
    top = TopItems(*map(np.concatenate, zip(*tops, strict=True)))
    return StoreRows(targets.users, targets.positions, top.items, top.scores, kept.cpu().numpy())


def _check_numbers(good: bool) -> None:
    """Stop the export, unless what the teacher computed are numbers."""
    if not good:
        raise UserError(
            "export: the teacher's scores or states are not numbers: its training has diverged or overflowed"
        )


def top_items(scores: Tensor, data: PreparedData, targets: Targets, top_k: int, exclude_seen: bool) -> TopItems:
    """The K best items of each target, of equal scores the lower item; the scores are changed in place.

    Args:
        scores: (M, N + 1).
        data: the histories.
        targets: the M keys.
        top_k: K, at most N.
        exclude_seen: whether items of the history are left out, see :func:`recdistill.distill.lists.hide_history`.
    """
    if exclude_seen:
        hide_history(scores, data, targets)
    scores[:, 0] = -torch.inf
    values, columns = best_items(scores.float(), top_k)
    listed = columns.masked_fill(values == -torch.inf, 0)
    return TopItems(listed.int().cpu().numpy(), values.cpu().numpy())
