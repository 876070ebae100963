"""Run the teacher once over every target, and keep what a student learns from."""

import logging
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import ExportConfig
from recdistill.config.evaluate import SCORE_MEMORY
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import Windows
from recdistill.distill.batch_size import Trial, find_batch_size
from recdistill.distill.elsewhere import Elsewhere
from recdistill.distill.evidence import EVIDENCE_FILE, ReadCounts, export_evidence, forget_counts
from recdistill.distill.exportable import Exportable
from recdistill.distill.outputs import Fingerprints
from recdistill.distill.parts import StoreRows, write_parts
from recdistill.distill.reading import ReadingPlan
from recdistill.distill.writer import OutputsWriter
from recdistill.interruption import Interrupted, deferred
from recdistill.measure.context import RunContext
from recdistill.storage.files import write_json

logger = logging.getLogger("recdistill")


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
    elsewhere: Elsewhere | None = None,
) -> ExportResult:
    """Write top-K items, scores and the user state of every training and validation target to the context's folder.

    The longest prompts come first, so that memory that does not suffice shows at once. An export that was stopped by a
    signal resumes after the batch that was read then, one that ended otherwise after its last whole shard. Several
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
        elsewhere: has the missing parts written by others; None: they are written here.

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
    with profiler.phase("batch size"):
        found = _batch_size(teacher, windows, teacher.prompt_lengths(windows), config.batch_size, context.device)
        processes.level()
        size, trials = processes.share(found)
    plan = ReadingPlan(teacher, data, config, size, score_memory)
    kept = ReadCounts(folder, config.shard_rows)

    def predict(number: int) -> StoreRows:
        with profiler.phase("export"):
            return plan.predict(number)

    if not processes.is_first:
        processes.wait()  # until the first has opened the store
    opened = OutputsWriter(folder, fingerprints, plan.top_k, plan.state_dim, config.shard_rows, processes.is_first)
    with deferred(), opened as writer:
        if processes.is_first:
            writer.write_item_embeddings(item_embeddings.float().cpu().numpy())
            kept.put_back(plan.rows)
            processes.wait()
        missing = processes.share(writer.missing(plan.rows) if processes.is_first else [])
        there = plan.rows - sum(part.end - part.start for part in missing)
        if elsewhere is None:
            own = processes.own(missing)
            try:
                write_parts(own, there, plan.ends, predict, teacher.read, kept, writer, profiler)
            except Interrupted:  # The others may be in the middle of a batch.
                processes.level()
                raise
        else:
            with profiler.phase("export"):
                elsewhere(missing, there, size)
        processes.level()
        writer.flush()
        processes.wait()
        teacher.read.restore(kept.total(plan.rows).state())
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
