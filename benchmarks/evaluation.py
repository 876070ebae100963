"""Seconds to rank the whole catalog for every user, at MovieLens-100K's size, with a random dot-product scorer.

Run: python benchmarks/evaluation.py [--users 943] [--items 1682] [--events 100000]

Prints one JSON line. Beside the time stands a check that a plain loop over some users finds the same ranks.
"""

import argparse
import json
import time

import numpy as np
import torch

from recdistill.data.prepared import PreparedData
from recdistill.evaluation.metrics import means
from recdistill.evaluation.ranking import MISS, rank
from recdistill.evaluation.scorer import sequence_scorer


def synthetic(users: int, items: int, events: int, rng: np.random.Generator) -> PreparedData:
    """Users with `events` events in all, at least 3 each, under leave-one-out."""
    lengths = 3 + rng.multinomial(events - 3 * users, rng.dirichlet(np.ones(users)))
    return PreparedData(
        items=rng.integers(1, items + 1, size=events, dtype=np.int32),
        timestamps=np.arange(events),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=[""] * (items + 1),
        item_ids=[""] * (items + 1),
        fingerprint="",
        split_fingerprint="",
    )


def main() -> None:
    """Measure, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=943)
    parser.add_argument("--items", type=int, default=1682)
    parser.add_argument("--events", type=int, default=100_000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    data = synthetic(args.users, args.items, args.events, rng)
    # Whole numbers: every sum is exact in fp32, so the check below may ask for equal ranks.
    table = torch.from_numpy(rng.integers(-8, 9, size=(args.items + 1, 64)).astype(np.float32))
    table[0] = 0

    def last_scores(items: torch.Tensor) -> torch.Tensor:
        return table[items].sum(dim=1) @ table.T

    targets, scorer = data.targets("test"), sequence_scorer(last_scores, data, 100)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        ranking = rank(data, targets, scorer, batch_size=256, filter_seen=True, top_k=20)
        values = means(ranking.ranks)
        seconds.append(time.perf_counter() - started)
    for row in range(0, len(targets), max(1, len(targets) // 50)):
        user, position = int(targets.users[row]), int(targets.positions[row])
        history, target = data.history(user, position), int(data.history(user, position + 1)[-1])
        scores = last_scores(torch.from_numpy(history[-100:].astype(np.int64))[None])[0].numpy()
        unseen = np.setdiff1d(np.arange(1, args.items + 1), history)
        expected = (scores[unseen] >= scores[target]).sum() if target in unseen else MISS
        assert ranking.ranks[row] == expected, (user, ranking.ranks[row], expected)
    print(
        json.dumps(
            {
                "benchmark": "full-catalog ranking",
                "users": len(targets),
                "items": args.items,
                "seconds": round(min(seconds), 4),
                "first_seconds": round(seconds[0], 4),
                "ndcg@10": round(values["ndcg@10"], 6),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
