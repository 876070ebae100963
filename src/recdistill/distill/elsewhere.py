"""Shards of a store that others write, each in a folder of its own, until whoever has opened the store takes them in.

A worker that was given up for lost may still be writing. Its folder is its own, so it cannot harm the shard that
another worker has made in its place.
"""

import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from recdistill.config import ExportConfig
from recdistill.data.prepared import PreparedData
from recdistill.distill.evidence import Part, ReadCounts, take_in_counts
from recdistill.distill.exportable import Exportable
from recdistill.distill.outputs import Fingerprints
from recdistill.distill.parts import StoreRows, write_parts
from recdistill.distill.reading import ReadingPlan
from recdistill.distill.writer import OutputsWriter
from recdistill.measure.context import RunContext
from recdistill.storage.files import disk_errors
from recdistill.storage.shards import forget_shard, shard_path

Elsewhere = Callable[[Sequence[Part], int, int], None]
"""Has parts of a store written, of which so many rows are there already, with so many prompts a batch."""

PREFIX = ".of-a-worker-"


@torch.inference_mode()
def export_part(
    teacher: Exportable,
    data: PreparedData,
    config: ExportConfig,
    context: RunContext,
    fingerprints: Fingerprints,
    part: Part,
    size: int,
    score_memory: int,
) -> Path:
    """Write one whole shard, the same to the byte as :func:`recdistill.distill.export.export_outputs` does.

    Args:
        teacher: what is run.
        data: the histories.
        config: as for the whole export.
        context: its folder is the store's.
        fingerprints: what the store is made from.
        part: which rows.
        size: prompts a batch.
        score_memory: MiB of scores held at a time.

    Returns:
        The folder, within the store's, in which the shard is for :func:`take_in`.

    Raises:
        UserError: a score or a state is not a number, or the disk is full.
    """
    plan = ReadingPlan(teacher, data, config, size, score_memory)

    def predict(number: int) -> StoreRows:
        with context.profiler.phase("export"):
            return plan.predict(number)

    own = context.folder / f"{PREFIX}{part.number}-{uuid.uuid4().hex}"
    with disk_errors(own):
        own.mkdir()
    try:
        kept = ReadCounts(own, config.shard_rows)
        with OutputsWriter(own, fingerprints, plan.top_k, plan.state_dim, config.shard_rows, opens=False) as writer:
            write_parts([part], 0, plan.ends, predict, teacher.read, kept, writer, context.profiler)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return own


def whole_shards(store: Path, parts: Sequence[Part], shard_rows: int) -> list[Part]:
    """The same parts from their shards' first rows on; rows that an interruption set aside are forgotten."""
    for part in parts:
        forget_shard(store, part.number)
    return [Part(part.number, part.number * shard_rows, part.end) for part in parts]


def take_in(own: Path, store: Path, number: int) -> None:
    """Put a shard that :func:`export_part` has written into its store.

    Raises:
        UserError: the disk is full, or the folder is not there.
    """
    with disk_errors(store):
        take_in_counts(own, store, number)
        shard_path(own, number).rename(shard_path(store, number))
        own.rmdir()


def forget_own_folders(store: Path) -> None:
    """Remove what workers have left that were lost or stopped."""
    for path in store.glob(f"{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
