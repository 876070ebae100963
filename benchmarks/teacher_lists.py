"""Whether an approximate index would pay for the lists that an export keeps: CPU ms of a list, one line of JSON.

    python benchmarks/teacher_lists.py runs/games                     the run's own items
    python benchmarks/teacher_lists.py runs/games --items 1000000     a million made from them

The teacher is a finished one with a residual head, its states those that the export has kept (`export.states`). Exact
lists are made as the export makes them: all scores of some rows by one product, then the 50 best. The index is that of
`recdistill index`, searched state by state, in ever more groups until the wanted share of the exact lists is found.
Made items are those of `benchmarks/approximate.py`. Before anything is timed, the scores in the store are compared with
the inner products of its states and the item vectors.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from approximate import many
from recdistill.evaluation.top_k import best_items
from recdistill.serving.item_index import ItemIndex
from recdistill.serving.make_index import group
from recdistill.students.make import load_student
from recdistill.teacher.whitening import whiten

TOP_K, ROWS_AT_A_TIME = 50, 64
STATES = 256
COLUMNS = ("states", "top_items", "top_scores")


def item_vectors(run: Path) -> NDArray[np.float32]:
    """Item vectors (N + 1, S) of a residual head: the student's, the correction's and, if it has them, the titles'."""
    head = load_file(run / "teacher" / "ranker.safetensors")
    titles = torch.from_numpy(np.load(run / "teacher_outputs" / "item_embeddings.npy")).float()
    titles = whiten(titles, head["head.title_projection.weight"].shape[1])
    parts = [load_student(run / "student").item_vectors().detach()]
    parts.append(titles @ head["head.title_projection.weight"].T + head["head.learned"])
    vectors = torch.cat([*parts, *([titles] if "head.titles_weight" in head else [])], dim=1)
    vectors[0] = 0
    return vectors.numpy()


def stored(run: Path, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """States (M, S) of the store, evenly spread over its rows."""
    found = []
    for shard in sorted((run / "teacher_outputs").glob("shard-*")):
        states, items, scores = (np.load(shard / f"{name}.npy", mmap_mode="r") for name in COLUMNS)
        rows = np.linspace(0, len(states) - 1, STATES).astype(int)
        found.append(states[rows].astype(np.float32))
        made = (found[-1][:, None] * vectors[items[rows]]).sum(axis=-1)
        there = items[rows] > 0
        np.testing.assert_allclose(made[there], scores[rows][there], atol=0.02)  # States are kept in fp16.
    return np.random.default_rng(0).permutation(np.concatenate(found))[:STATES]


def measure(run: Path, items: int, wanted: float) -> dict[str, Any]:
    """The line of JSON; 0 items: the run's own."""
    torch.set_num_threads(1)
    vectors = item_vectors(run)
    states = stored(run, vectors)
    if items:
        vectors = many(vectors, items, np.random.default_rng(0))
    began = time.process_time()
    exact = []
    for start in range(0, len(states), ROWS_AT_A_TIME):
        scores = torch.from_numpy(states[start : start + ROWS_AT_A_TIME]) @ torch.from_numpy(vectors).T
        scores[:, 0] = -torch.inf
        exact.append(best_items(scores, TOP_K)[0])
    exact_seconds, least = time.process_time() - began, torch.cat(exact)[:, -1:].numpy()
    began = time.process_time()
    index = ItemIndex(vectors, *group(vectors, 42), nprobe=1)
    built = time.process_time() - began
    tried: list[dict[str, float]] = []
    while not tried or (tried[-1]["recall"] < wanted and index.nprobe < index.centres):
        index.nprobe = min(index.centres, 4 * index.nprobe)
        began = time.process_time()
        found = index.best(states, TOP_K, None)[1]
        spent = time.process_time() - began
        recall = float((found >= least - 1e-4).mean())  # Sums are rounded otherwise here.
        milliseconds = round(1e3 * spent / len(states), 3)
        tried.append({"nprobe": index.nprobe, "recall": round(recall, 4), "milliseconds": milliseconds})
    return {
        "benchmark": "lists of an export",
        "items": len(vectors) - 1,
        "width": vectors.shape[1],
        "top_k": TOP_K,
        "exact_milliseconds": round(1e3 * exact_seconds / len(states), 3),
        "centres": index.centres,
        "build_cpu_seconds": round(built, 1),
        "tried": tried,
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--recall", type=float, default=0.98)
    options = parser.parse_args()
    print(json.dumps(measure(options.run, options.items, options.recall)))


if __name__ == "__main__":
    main()
