"""Steps whose pieces the workers of a cluster do: shards of an export, rows of an evaluation.

A worker sees the run's folder as this process does (on several machines: by a shared file system), compares what it
finds there with what this process found, and loads a model once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from recdistill.config import RunConfig
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.distill.elsewhere import Elsewhere, export_part, forget_own_folders, take_in, whole_shards
from recdistill.distill.evidence import Part
from recdistill.distill.exportable import Exportable
from recdistill.errors import UserError
from recdistill.evaluation.metrics import CUTOFFS
from recdistill.evaluation.ranking import Ranking, rank
from recdistill.evaluation.scorer import Scorer
from recdistill.evaluation.top_k import rows_at_a_time
from recdistill.interruption import stop_point
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.parallel.ray_cluster import RayCluster
from recdistill.pipeline.models import exporting_teacher, scorers
from recdistill.pipeline.plans import OpenRun
from recdistill.progress import progress_bar
from recdistill.steps import Step
from recdistill.storage.run_folder import RunFolder
from recdistill.version import __version__

BATCHES = 16
"""Batches of an evaluation that are one piece."""
MODELS: dict[str, Step] = {"student": "student", "titled": "teacher", "teacher": "teacher", "distilled": "distill"}
"""Models that rank on a cluster, and the steps that made them; baselines rank where the evaluation is."""


@dataclass(frozen=True)
class SeenRun:
    """A run as the process that has pieces done sees it.

    Attributes:
        config: with its folder named from the root.
        device: `cpu` or `cuda`.
        threads: of a piece.
        version: of this package.
        made: steps that are read, and their fingerprints.
    """

    config: RunConfig
    device: str
    threads: int
    version: str
    made: tuple[tuple[Step, str], ...]

    @classmethod
    def of(cls, run: OpenRun, cluster: RayCluster, *steps: Step) -> "SeenRun":
        """What of a run these steps left."""
        config = replace(run.config, run=str(Path(run.config.run).resolve()))
        return cls(config, run.device, cluster.cpus, __version__, tuple((step, run.made(step)) for step in steps))


@dataclass(frozen=True)
class ShardToExport:
    """A whole shard of the store in `folder`, with `size` prompts a batch."""

    run: SeenRun
    folder: Path
    part: Part
    size: int

    @property
    def name(self) -> str:
        """What it is called in an error."""
        return f"export: shard {self.part.number}"


@dataclass(frozen=True)
class RowsToRank:
    """Targets of the split, by their rows, that a model ranks."""

    run: SeenRun
    model: str
    number: int
    rows: LongArray
    candidates: IntArray | None

    @property
    def name(self) -> str:
        """What it is called in an error."""
        return f"evaluate: part {self.number} of the {self.model} model's targets"


def check_for_cluster(config: RunConfig) -> None:
    """Refuse what does not go with a cluster's workers.

    Raises:
        UserError: names the setting.
    """
    if config.devices * config.nodes > 1:
        raise UserError("devices: several processes do not go with `--engine ray`, whose workers share the work")
    if config.teacher.compile:
        raise UserError("teacher.compile: each worker of a cluster would compile all shapes anew; set it to false")


def export_on(cluster: RayCluster, run: OpenRun, store: Path) -> Elsewhere:
    """What has the parts of a run's store written by a cluster."""

    def write(parts: Sequence[Part], there: int, size: int) -> None:
        forget_own_folders(store)
        seen, done = SeenRun.of(run, cluster, "prepare", "student", "teacher"), there
        whole = whole_shards(store, parts, run.config.export.shard_rows)
        pieces = [ShardToExport(seen, store.resolve(), part, size) for part in whole]
        with progress_bar("export", there + sum(part.end - part.start for part in parts), "targets") as progress:
            progress.advance(there)
            for place, own in cluster.map(export_shard, pieces, lambda piece: piece.name):
                take_in(own, store, whole[place].number)
                progress.advance(parts[place].end - parts[place].start)
                done += parts[place].end - parts[place].start
        forget_own_folders(store)
        stop_point(f"the teacher's outputs for {done:,} targets")

    return write


def rank_on(cluster: RayCluster, run: OpenRun, data: PreparedData) -> Callable[[str, IntArray | None], Ranking | None]:
    """What has a run's trained models rank on a cluster; None for the others."""
    config = run.config.evaluate
    targets = data.targets(config.split)
    # Batches are those of one process, so that no sum is rounded otherwise.
    order = np.argsort(targets.positions, kind="stable")
    size = BATCHES * min(config.batch_size, rows_at_a_time(data.num_items, config.max_score_memory))

    def ranked(model: str, candidates: IntArray | None) -> Ranking | None:
        if model not in MODELS or not len(targets):
            return None
        steps: set[Step] = {"prepare", "student", MODELS[model]}
        seen = SeenRun.of(run, cluster, *sorted(steps))
        pieces = []
        for number, start in enumerate(range(0, len(order), size)):
            rows = order[start : start + size]
            pieces.append(RowsToRank(seen, model, number, rows, None if candidates is None else candidates[rows]))
        joined = _Joined(len(targets))
        with progress_bar(f"ranking with {model}", len(targets), "histories") as progress:
            for place, found in cluster.map(rank_rows, pieces, lambda piece: piece.name):
                joined.take(pieces[place].rows, found)
                progress.advance(len(pieces[place].rows))
        stop_point()
        return joined.ranking()

    return ranked


class _Joined:
    """The rankings of some rows each, put together."""

    def __init__(self, count: int) -> None:
        self.count, self.repeats = count, 0
        self._ranks, self._among = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self._items: IntArray = np.zeros((count, 0), dtype=np.int32)
        self._has_candidates = False

    def take(self, rows: LongArray, found: Ranking) -> None:
        """The ranking of these rows."""
        if not self._items.shape[1]:
            self._items = np.zeros((self.count, found.top_items.shape[1]), dtype=np.int32)
        self._ranks[rows], self._items[rows] = found.ranks, found.top_items
        self.repeats += found.repeats
        if found.candidate_ranks is not None:
            self._among[rows], self._has_candidates = found.candidate_ranks, True

    def ranking(self) -> Ranking:
        """Of all rows."""
        return Ranking(self._ranks, self._items, self.repeats, self._among if self._has_candidates else None)


def export_shard(piece: ShardToExport) -> Path:
    """In a worker: write one shard into a folder of its own, which is given back."""
    run, config = _opened(piece.run), piece.run.config
    with Profiler(piece.run.device) as profiler:
        context = RunContext(piece.run.device, profiler, piece.folder)
        return export_part(
            _teacher(piece.run),
            run.asked(),
            config.decided_export,
            context,
            run.output_fingerprints(),
            piece.part,
            piece.size,
            config.evaluate.max_score_memory,
        )


def rank_rows(piece: RowsToRank) -> Ranking:
    """In a worker: rank some targets."""
    data, config = _opened(piece.run).data(), piece.run.config.evaluate
    targets = data.targets(config.split)
    return rank(
        data,
        Targets(targets.users[piece.rows], targets.positions[piece.rows]),
        _scorer(piece.run, piece.model),
        config.batch_size,
        config.filter_seen,
        max(CUTOFFS),
        candidates=piece.candidates,
        score_memory=config.max_score_memory,
    )


@lru_cache(maxsize=1)
def _opened(seen: SeenRun) -> OpenRun:
    """The run, if this machine sees the same one.

    Raises:
        UserError: it sees another, or none, or has another version of this package.
    """
    folder = Path(seen.config.run)
    if seen.version != __version__:
        raise UserError(f"a worker has recdistill {__version__}, and {seen.version} is needed")
    torch.set_num_threads(seen.threads)
    run = OpenRun(seen.config, RunFolder(folder), seen.device)
    for step, made in seen.made:
        if run.manifest(step) is None or run.made(step) != made:
            raise UserError(f"{folder}: a worker's machine sees another run, or none; all must see the same files")
    return run


@lru_cache(maxsize=1)
def _teacher(seen: SeenRun) -> Exportable:
    run = _opened(seen)
    return exporting_teacher(run, run.asked())


@lru_cache(maxsize=1)
def _scorer(seen: SeenRun, model: str) -> Scorer:
    run = _opened(seen)
    with Profiler(seen.device) as profiler:
        return scorers(run, run.data(), RunContext(seen.device, profiler, run.folder.path))[model]()
