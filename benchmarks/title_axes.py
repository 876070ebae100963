"""How many principal axes of title embeddings serve catalogs of different sizes.

    RECDISTILL_CACHE=cache python benchmarks/title_axes.py runs/games --items 100 160 240 480 1000 --draws 3

From a prepared run's catalog, items are drawn by popularity, and histories are cut to them. Nothing is trained: items
are ranked by the similarity of their titles to those of the history (`decayed_last`, .9 per step), and the validation
interaction, or the last before it that is left, is the target. Seen items are left out. A line of JSON for each size.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.language_models.titles import title_embeddings
from recdistill.students.title_similarity import decayed_last
from recdistill.teacher import whitening
from recdistill.teacher.whitening import Whitening

SHARES = (16, 8, 6, 4, 3, 2, 1)
"""Titles for each axis."""
LATEST, MOST_AXES, DECAY = 20, 128, 0.9


def drawn(data: PreparedData, embeddings: Tensor, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A smaller catalog: embeddings (size, H), histories (B, L) without their targets, targets (B,)."""
    counts = np.bincount(data.items, minlength=data.num_items + 1)[1:]
    chosen = np.random.default_rng(seed).choice(data.num_items, size, replace=False, p=counts / counts.sum()) + 1
    number = np.zeros(data.num_items + 1, dtype=np.int64)
    number[np.sort(chosen)] = np.arange(1, size + 1)
    histories = []
    for start, end in zip(data.offsets, data.validation_ends, strict=False):
        left = number[data.items[start : start + end]]
        left = left[left > 0][-LATEST:]
        histories += [left] if len(left) > 1 else []
    items = torch.zeros(len(histories), LATEST, dtype=torch.int64)
    for row, history in enumerate(histories):
        items[row, : len(history) - 1] = torch.from_numpy(history[:-1])
    return embeddings[np.sort(chosen)], items, torch.tensor([history[-1] for history in histories])


def ndcg(vectors: Tensor, items: Tensor, targets: Tensor) -> float:
    """NDCG@10 of ranking all items by similarity; ties count against the target."""
    scores = decayed_last(vectors, items, DECAY) @ vectors.T
    scores.scatter_(1, items, -torch.inf)
    scores[:, 0] = -torch.inf
    ranks = (scores >= scores.gather(1, targets[:, None])).sum(dim=1)
    return float(torch.where(ranks <= 10, 1 / torch.log2(ranks + 1.0), torch.zeros(())).mean())


def measure(data: PreparedData, embeddings: Tensor, size: int, draws: int) -> dict[str, object]:
    """The mean over the draws for each number of axes, and for the most that are kept whatever the size."""
    found: dict[str, list[float]] = {}
    for seed in range(draws):
        titles, items, targets = drawn(data, embeddings, size, seed)
        for name, axes in [(f"1 for {share}", size // share) for share in SHARES] + [(str(MOST_AXES), MOST_AXES)]:
            white = Whitening.fit(titles, axes)(titles).float()
            found.setdefault(name, []).append(ndcg(torch.cat([torch.zeros(1, white.shape[1]), white]), items, targets))
    return {"benchmark": "title axes", "items": size} | {
        name: round(float(np.mean(of)), 4) for name, of in found.items()
    }


def main() -> None:
    """Measure each size, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder with a finished `prepare`")
    parser.add_argument("--items", type=int, nargs="+", default=[100, 160, 240, 480, 1000])
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    whitening.TITLES_PER_AXIS = 1  # all numbers of axes are measured
    data = PreparedData.load(arguments.run / "prepare")
    embeddings = title_embeddings(TeacherConfig(title_encoder="minilm"), data.texts, cache_folder(), "cpu", None)
    for size in arguments.items:
        print(json.dumps({"run": arguments.run.name} | measure(data, embeddings, size, arguments.draws)), flush=True)


if __name__ == "__main__":
    main()
