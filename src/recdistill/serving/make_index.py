"""Make an approximate index, and measure it on users' real histories before it is in place."""

import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.serving.answers import Model
from recdistill.serving.engines import FloatArray, LongArray
from recdistill.serving.exact_lists import ExactLists
from recdistill.serving.item_index import (
    CENTRES_FILE,
    GROUPS_FILE,
    INDEX_FILE,
    INDEX_FOLDER,
    IndexAbout,
    ItemIndex,
    Probes,
    import_faiss,
    vectors_sha256,
)
from recdistill.serving.loading import load_run
from recdistill.storage.checksums import held_files, sealed
from recdistill.storage.files import write_array, write_json
from recdistill.storage.new_folder import new_folder

logger = logging.getLogger("recdistill")

TOP_K = 10
MOST_HISTORIES = 2048
TIMED = 50
"""Lists whose time is taken one by one."""
ROUNDS = 10
"""Of k-means."""
PER_CENTRE = 64
"""Items per centre that k-means looks at; with more, it looks at a sample."""


def make_index(
    run: Path, out: Path | None = None, model: Model = "distilled", recall: float = 0.98, seed: int = 42
) -> IndexAbout:
    """Write an index of a student's item vectors, for the run itself and for its bundle.

    Half of the histories choose how many groups a list is made from, the other half measure it. The histories are those
    before the validation targets; recall is the share of the exact lists' items (the ten best, seen ones left out where
    the run's ranking does so) that are found, an item with the score of the exact list's last one counting as found.

    Args:
        run: a finished run.
        out: the folder in which one for the model is written; None: `index` in the run.
        model: `distilled` or `student`.
        recall: share to reach, above 0 and at most 1.
        seed: of k-means.

    Returns:
        What is written to `index.json`.

    Raises:
        UserError: faiss or onnxruntime is not installed, the run lacks the model or validation histories, `recall` is
            out of range, or the disk is full.
    """
    if not 0 < recall <= 1:
        raise UserError(f"recall: {recall:g} is out of range; it must be above 0 and at most 1")
    faiss = import_faiss()
    loaded = load_run(run, model)
    data = PreparedData.load(run / "prepare", read_titles=False)
    histories = validation_histories(data)
    if len(histories) < 2:
        raise UserError(f"{run}: fewer than two validation histories, so that no recall can be measured")
    vectors, states = loaded.engine.item_vectors, loaded.engine.states(histories)
    centres, groups = group(vectors, seed)
    index = ItemIndex(vectors, centres, groups, 1)
    measured = Measured(index, ExactLists(vectors), states, histories if loaded.exclude_seen else None)
    tried = measured.choose(recall)
    chosen = measured.probes(tried[-1]["nprobe"], second=True)
    about = {
        "model": model,
        "items": len(vectors) - 1,
        "dim": vectors.shape[1],
        "vectors": vectors_sha256(vectors),
        "centres": len(centres),
        "top_k": measured.top_k,
        "wanted": recall,
        **chosen,
        "exact_milliseconds": measured.exact_milliseconds(),
        "histories": len(histories) - len(histories) // 2,
        "exclude_seen": loaded.exclude_seen,
        "seed": seed,
        "faiss": faiss.__version__,
        "tried": tried,
    }
    folder = out or run / INDEX_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with new_folder(folder / model, replaces=INDEX_FILE) as new:
        write_array(new / CENTRES_FILE, centres)
        write_array(new / GROUPS_FILE, groups)
        written = sealed(about | {"files": held_files(new)})
        write_json(new / INDEX_FILE, written)
    if chosen["recall"] < recall:
        told = "index: recall %.4f on the second half of the histories, %g was wanted"
        logger.warning(told, chosen["recall"], recall)
    return written  # type: ignore[return-value]


def group(vectors: FloatArray, seed: int) -> tuple[FloatArray, NDArray[np.int32]]:
    """Centres (C, D) of the items' vectors, C about √N, and the group (N,) of each item."""
    faiss, (rows, dim) = import_faiss(), vectors[1:].shape
    count = 1 << max(0, round(np.log2(rows) / 2))
    means = faiss.Kmeans(
        dim, count, niter=ROUNDS, seed=seed, min_points_per_centroid=1, max_points_per_centroid=PER_CENTRE
    )
    items = np.ascontiguousarray(vectors[1:], dtype=np.float32)
    if not np.isfinite(items).all():
        raise UserError("an item vector is not finite: the model's training has diverged")
    means.train(items)
    groups = faiss.knn(items, means.centroids, 1)[1][:, 0]
    return means.centroids, groups.astype(np.int32)


class Measured:
    """Recall and time of an index over states; the first half is for choosing, the second for what is told."""

    def __init__(self, index: ItemIndex, exact: ExactLists, states: FloatArray, hidden: list[list[int]] | None) -> None:
        self.index, self.exact, self.states, self.hidden = index, exact, states, hidden
        self.top_k = min(TOP_K, len(index.vectors) - 1)
        self.least = exact.best(states, self.top_k, hidden)[1]
        self.half = len(states) // 2

    def choose(self, wanted: float) -> list[Probes]:
        """What was tried on the first half, the least number of groups with the wanted recall last."""
        tried, low, high = [], 0, 1
        while (found := self.probes(high))["recall"] < wanted and high < self.index.centres:
            tried.append(found)
            low, high = high, min(2 * high, self.index.centres)
        best = found
        while high - low > max(1, low // 8):
            middle = (low + high) // 2
            found = self.probes(middle)
            if found["recall"] >= wanted:
                high, best = middle, found
            else:
                low = middle
                tried.append(found)
        return [*tried, best]

    def probes(self, nprobe: int, second: bool = False) -> Probes:
        """Recall and time with so many groups, on the first or the second half."""
        self.index.nprobe = nprobe
        rows = range(self.half, len(self.states)) if second else range(self.half)
        scores = self.index.best(self.states[rows.start : rows.stop], self.top_k, self._hidden(rows))[1]
        least = self.least[rows.start : rows.stop]
        there = least > -np.inf
        last = np.where(there, least, np.inf).min(axis=1, keepdims=True)
        found = ((scores >= last) & (scores > -np.inf)).sum() / max(1, there.sum())
        return {
            "nprobe": nprobe,
            "recall": round(float(found), 5),
            "milliseconds": self._milliseconds(self.index.best, rows),
        }

    def exact_milliseconds(self) -> float:
        """CPU milliseconds of one exact list."""
        return self._milliseconds(self.exact.best, range(self.half, len(self.states)))

    def _hidden(self, rows: range) -> list[list[int]] | None:
        return None if self.hidden is None else self.hidden[rows.start : rows.stop]

    def _milliseconds(
        self,
        best: Callable[[FloatArray, int, list[list[int]] | None], tuple[LongArray, FloatArray]],
        rows: range,
    ) -> float:
        spent = []
        for row in rows[:TIMED]:
            one = range(row, row + 1)
            began = time.thread_time()
            best(self.states[row : row + 1], self.top_k, self._hidden(one))
            spent.append(time.thread_time() - began)
        return round(1e3 * statistics.median(spent), 4)


def validation_histories(data: PreparedData) -> list[list[int]]:
    """Histories before the validation targets, of users evenly spread, in a fixed random order."""
    targets = data.targets("validation")
    count = min(MOST_HISTORIES, len(targets))
    rows = np.unique(np.linspace(0, max(0, len(targets) - 1), count).astype(int))
    shuffled = np.random.default_rng(0).permutation(rows)
    return [data.history(int(targets.users[row]), int(targets.positions[row])).tolist() for row in shuffled]
