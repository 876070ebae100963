"""What a distilled student makes of items that came after its training; one line of JSON.

    recdistill prepare --config configs/ml-latest-small.yaml --data.path ml-latest-small --run runs/whole
    python benchmarks/new_items.py split --whole runs/whole/prepare --out runs/new-items
    recdistill run --config configs/ml-latest-small.yaml --run runs/new-items/run --data.source csv \
        --data.path runs/new-items/events.csv --data.items_path runs/new-items/known.csv --data.text "[]"
    python benchmarks/new_items.py measure --whole runs/whole/prepare --split runs/new-items \
        --run runs/new-items/run --half second

`split` draws a tenth of the items and takes every event of them out of the data. The run then knows nothing of these;
`measure` adds them by their titles (`recdistill add-items`) and asks for each user's latest event on one of them, from
the user's earlier events on known items. Users are in halves: choices were made on the first.

Ranked are all items, and the new ones among themselves. Beside the student stands title similarity, which needs
no training: the inner product of whitened title embeddings with their mean over what the student reads of the history,
an event of age a weighing .9^a; and what an order by chance gives. Items that the user had before, new ones too, are
left out. `validation` is the run's own, before and after the new items. A user's later events may have been trained on;
a student has no memory of users, only of what follows what.
"""

import argparse
import csv
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config.settings import run_config
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.metrics import hit_rate, ndcg
from recdistill.evaluation.ranking import rank
from recdistill.evaluation.scorer import Scorer, latest_items, sequence_scorer
from recdistill.evaluation.significance import bootstrap_means, interval
from recdistill.language_models.titles import title_embeddings
from recdistill.serving.new_items import add_items
from recdistill.storage.files import read_json
from recdistill.students.make import load_student
from recdistill.students.title_map import load_title_map
from recdistill.students.title_similarity import decayed_mean
from recdistill.teacher.whitening import Whitening, have_titles

DECAY = 0.9
FILES = ("events.csv", "known.csv", "new.csv")
SAMPLES = 2000


def split(whole: Path, out: Path, share: float, seed: int) -> dict[str, int]:
    """Write `events.csv` and `known.csv` of the items kept, and `new.csv` of those taken out; count all three.

    The column `title` there holds all that is read of an item, `data.text` too; so the run has `data.text: []`.
    """
    data = PreparedData.load(whole)
    drawn = np.random.default_rng(seed).permutation(data.num_items)[: round(share * data.num_items)] + 1
    is_new = np.isin(np.arange(data.num_items + 1), drawn)
    users = np.repeat(np.arange(data.num_users), np.diff(data.offsets))
    events = [
        (user, data.item_ids[item], time)
        for user, item, time in zip(users.tolist(), data.items.tolist(), data.timestamps.tolist(), strict=True)
        if not is_new[item]
    ]
    known, new = (
        [(data.item_ids[item], data.texts[item]) for item in range(1, data.num_items + 1) if is_new[item] == wanted]
        for wanted in (False, True)
    )
    out.mkdir(parents=True, exist_ok=True)
    heads: list[tuple[str, ...]] = [("user_id", "item_id", "timestamp"), ("item_id", "title"), ("item_id", "title")]
    tables: list[list[tuple[Any, ...]]] = [[*events], [*known], [*new]]
    for name, head, rows in zip(FILES, heads, tables, strict=True):
        with (out / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows])
    return {"events": len(events), "known": len(known), "new": len(new)}


class Questions(NamedTuple):
    """Each user's latest event on a new item.

    Attributes:
        data: a history for each: the known items before the event, then its item.
        targets: those last places.
        seen: for each history the new items that the user had before.
    """

    data: PreparedData
    targets: Targets
    seen: list[IntArray]


def questions(whole: PreparedData, item_ids: list[str], num_known: int, half: int) -> Questions:
    """Ask a half of the users for their latest event on a new item.

    Args:
        whole: the histories with the new items in them.
        item_ids: external ids of the padding, the known and the new items.
        num_known: how many are known.
        half: 0 for the users of even numbers, 1 for the others.
    """
    number = {item_id: item for item, item_id in enumerate(item_ids) if item}
    of = np.array([0, *(number.get(item_id, 0) for item_id in whole.item_ids[1:])], dtype=np.int32)
    histories: list[IntArray] = []
    seen: list[IntArray] = []
    for user in range(half, whole.num_users, 2):
        items = of[whole.items[whole.offsets[user] : whole.offsets[user + 1]]]
        (new,) = np.nonzero(items > num_known)
        before = items[: new[-1]] if len(new) else items[:0]
        known = before[(before > 0) & (before <= num_known)]
        if len(known):
            histories.append(np.append(known, items[new[-1]]))
            seen.append(before[(before > num_known) & (before != items[new[-1]])])
    lengths = np.array([len(history) for history in histories], dtype=np.int32)
    data = replace(
        whole,
        items=np.concatenate(histories),
        timestamps=np.zeros(lengths.sum(), np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=lengths - 1,
        validation_ends=lengths,
        titles=item_ids,
        item_ids=item_ids,
        trained_users=None,
        item_texts=None,
    )
    return Questions(data, data.targets("validation"), seen)


class Unseen:
    """Another scorer with the new items that the user had before, and on wish all known ones, out of the way."""

    def __init__(self, scorer: Scorer, seen: list[IntArray], num_known: int = 0) -> None:
        self.scorer, self.seen, self.num_known = scorer, seen, num_known

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + M + 1), -inf for what is out of the way."""
        scores = self.scorer.score(users, positions)
        scores[:, : self.num_known + 1] = -torch.inf
        for row, user in enumerate(users.tolist()):
            scores[row, self.seen[user].tolist()] = -torch.inf
        return scores


class Likeness:
    """How like each title is to those of the history; `vectors` (N + M + 1, W) are whitened embeddings."""

    def __init__(self, vectors: Tensor, data: PreparedData, max_length: int) -> None:
        self.vectors, self.data, self.max_length = vectors, data, max_length

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + M + 1)."""
        items = torch.from_numpy(latest_items(self.data, users, positions, self.max_length))
        last = (items > 0).sum(dim=1) - 1
        return decayed_mean(self.vectors[items], DECAY)[torch.arange(len(items)), last] @ self.vectors.T


def quality(data: PreparedData, targets: Targets, scorer: Scorer) -> dict[str, Any]:
    """NDCG@10 and hit rate@10 with 95 % intervals over users."""
    ranks = rank(data, targets, scorer, 64, filter_seen=True, top_k=10).ranks
    values = np.stack([ndcg(ranks, 10), hit_rate(ranks, 10)], axis=1)
    ends = interval(bootstrap_means(targets.users, values, SAMPLES, np.random.default_rng(0)))
    names = ("ndcg@10", "hit_rate@10")
    return {
        name: {"mean": round(float(mean), 5), "interval": [round(float(end), 5) for end in pair]}
        for name, mean, pair in zip(names, values.mean(axis=0), ends, strict=True)
    }


def by_chance(sizes: NDArray[np.int64]) -> dict[str, float]:
    """What orders by chance of so many items each, (rows,), give on average."""
    gains = np.concatenate([[0.0], np.cumsum(ndcg(np.arange(1, 11), 10))])
    listed = np.minimum(sizes, 10)
    means = {"ndcg@10": (gains[listed] / sizes).mean(), "hit_rate@10": (listed / sizes).mean()}
    return {name: round(float(mean), 5) for name, mean in means.items()}


@torch.inference_mode()
def measure(whole: Path, split_folder: Path, run: Path, half: int) -> dict[str, Any]:
    """Quality on new items and on known ones; the run's distilled student is left as it is."""
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder) / "more"
        added = add_items(run, split_folder / "new.csv", more)
        catalog, student = read_json(more / "prepare/catalog.json"), load_student(more / "distilled")
    before, known = load_student(run / "distilled"), PreparedData.load(run / "prepare")
    num_known, length = known.num_items, student.config.max_length
    data, targets, seen = questions(PreparedData.load(whole), catalog["item_ids"], num_known, half)
    _, about = load_title_map(run / "distilled")
    config = run_config({"teacher": about["teacher"]}).teacher
    embeddings = title_embeddings(config, catalog.get("texts", catalog["titles"]), cache_folder(), "cpu")
    dims = int(read_json(run / "teacher/manifest.json")["config"]["title_dim"])
    titled = have_titles(embeddings)
    vectors = Whitening.fit(embeddings[: num_known + 1][titled[: num_known + 1]], dims)(embeddings).float()
    vectors[~titled] = 0
    scorers: dict[str, Scorer] = {
        "student": sequence_scorer(student.last_scores, data, length),
        "likeness": Likeness(vectors, data, length),
    }
    longer = replace(known, titles=catalog["titles"], item_ids=catalog["item_ids"])
    asked = known.targets("validation")
    after = sequence_scorer(student.last_scores, longer, length)
    listed = rank(longer, asked, after, 64, filter_seen=True, top_k=10).top_items
    unseen_new = added - np.array([len(set(items.tolist())) for items in seen])
    unseen = num_known + unseen_new - np.array([len(set(data.history(user, end))) for user, end in _rows(targets)])
    return {
        "run": str(run),
        "half": ("first", "second")[half],
        "known": num_known,
        "new": added,
        "targets": len(targets),
        "among all": {name: quality(data, targets, Unseen(one, seen)) for name, one in scorers.items()}
        | {"chance": by_chance(unseen)},
        "among new": {name: quality(data, targets, Unseen(one, seen, num_known)) for name, one in scorers.items()}
        | {"chance": by_chance(unseen_new)},
        "validation": {
            "before": quality(known, asked, sequence_scorer(before.last_scores, known, length)),
            "after": quality(longer, asked, after),
            "new of those listed": round(float((listed > num_known).mean()), 4),
        },
    }


def _rows(targets: Targets) -> list[tuple[int, int]]:
    return list(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))


def main() -> None:
    """Take items out, or measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode in ("split", "measure"):
        modes.add_parser(mode).add_argument(
            "--whole", type=Path, required=True, help="what `prepare` wrote of all data"
        )
    splitting, measuring = (modes.choices[mode] for mode in ("split", "measure"))
    splitting.add_argument("--out", type=Path, required=True, help="folder to write to")
    splitting.add_argument("--share", type=float, default=0.1, help="of the items, to be taken out")
    splitting.add_argument("--seed", type=int, default=1, help="of the draw")
    measuring.add_argument("--split", type=Path, required=True, help="what `split` wrote")
    measuring.add_argument("--run", type=Path, required=True, help="the run on it, finished up to `distill`")
    measuring.add_argument("--half", choices=("first", "second"), required=True, help="of the users")
    options = parser.parse_args()
    if options.mode == "split":
        found = split(options.whole, options.out, options.share, options.seed)
    else:
        found = measure(options.whole, options.split, options.run, ("first", "second").index(options.half))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
