"""Recall and time of an approximate index, beside exact lists, on real users' states; one line of JSON.

    python benchmarks/approximate.py runs/games --model student                     the run's own items
    python benchmarks/approximate.py runs/games --model student --items 1000000     a million made from them
    python benchmarks/approximate.py runs/games --model student --items 1000000 --random

A million items are made from a trained student's vectors: each a copy of one of them with normal noise, as long as the
median distance between nearest neighbours, so that the catalog is as dense around each item as the real one is around
its neighbours. With `--random` they are normal vectors without any structure, the worst case. States are those after
histories before validation targets. Groups are chosen on half of them for the wanted recall@10 and measured on the
other half; times are CPU milliseconds of one list on one thread, without the model.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.data.prepared import PreparedData
from recdistill.serving.engines import FloatArray
from recdistill.serving.exact_lists import ExactLists
from recdistill.serving.item_index import ItemIndex, import_faiss
from recdistill.serving.loading import load_run
from recdistill.serving.make_index import Measured, group, validation_histories
from resident import resident_gib

NEIGHBOURS_OF = 2000
"""Items whose distance to their nearest neighbour is looked at."""


def many(vectors: FloatArray, items: int, rng: np.random.Generator) -> FloatArray:
    """Vectors (items + 1, D) around those (N + 1, D) of a real catalog."""
    distances = import_faiss().knn(vectors[1 : NEIGHBOURS_OF + 1], vectors[1:], 2)[0][:, 1]
    noise = np.sqrt(np.median(distances) / vectors.shape[1])
    made = vectors[rng.integers(1, len(vectors), items + 1)]
    made += noise * rng.standard_normal(made.shape, dtype=np.float32)
    made[0] = 0
    return made


def measure(run: Path, model: Any, items: int, wanted: float, random: bool) -> dict[str, Any]:
    """The line of JSON; 0 items: the run's own."""
    rng = np.random.default_rng(0)
    loaded, data = load_run(run, model), PreparedData.load(run / "prepare", read_titles=False)
    histories = validation_histories(data)
    vectors, states = loaded.engine.item_vectors, loaded.engine.states(histories)
    if random:
        vectors = rng.standard_normal((items + 1, vectors.shape[1]), dtype=np.float32)
    elif items:
        vectors = many(vectors, items, rng)
    began = time.process_time()
    index = ItemIndex(vectors, *group(vectors, 42), nprobe=1)
    built = time.process_time() - began
    # Items that were made stand for no item of a history, so nothing is left out there.
    measured = Measured(index, ExactLists(vectors), states, None if items else histories)
    tried = measured.choose(wanted)
    found = measured.probes(tried[-1]["nprobe"], second=True)
    return {
        "benchmark": "approximate lists",
        "vectors": "random" if random else "made from the run's" if items else "the run's",
        "items": len(vectors) - 1,
        "wanted": wanted,
        "centres": index.centres,
        **found,
        "exact_milliseconds": measured.exact_milliseconds(),
        "build_cpu_seconds": round(built, 2),
        "histories": len(states) - len(states) // 2,
        "peak_rss_gib": round(resident_gib("VmHWM"), 3),
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", choices=["distilled", "student"], default="distilled")
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--random", action="store_true")
    options = parser.parse_args()
    if options.random and not options.items:
        parser.error("--random needs --items")
    print(json.dumps(measure(options.run, options.model, options.items, options.recall, options.random)))


if __name__ == "__main__":
    main()
