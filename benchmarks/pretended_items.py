"""What stands in for a new item's ID embedding, compared where known items are taken for new ones; JSON lines.

    recdistill run --config configs/ml-latest-small.yaml
    python benchmarks/pretended_items.py runs/ml-latest-small

`benchmarks/new_items.py` takes a tenth of the items out of the data and trains anew, so that a few hundred users are
asked about a few hundred items. Here each tenth of a finished run's items in turn loses its vectors and gets those
that `add-items` would give it, made from the other nine tenths; every validation target is asked for among all items.
So all users count, once as asked for a new item and nine times for known ones, and nothing is trained. It is a proxy:
the student was trained with these items, and histories hold their own vectors.

A way to fill the ID embedding's place lists new items more or less often, which known items pay for. So ways are
compared at the same price: a multiple of the mean state of the histories, along which an item's popularity lies, is
added to the vectors of new items (`lift`), as large as leaves known targets `--price` short of their NDCG@10 without
any new items.

    soft:S*F    mean of the known ID embeddings, weighed by a softmax of S times the titles' cosine, times F:
                `add-items` has soft:20*1
    ridge:L*F   ridge regression of ID embeddings on whitened title embeddings with penalty L, times F
    none        nothing: the title alone

A third number, soft:S*F*G, multiplies a new item's part for similar titles, where the student has one
(`distill.title_decay`).
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.scorer import state_scorer
from recdistill.students.make import load_student
from recdistill.students.title_map import TitleMap, load_title_map
from recdistill.teacher.whitening import Whitening

WAYS = (
    "none",
    "soft:10*1",
    "soft:20*0.5",
    "soft:20*1",
    "soft:20*1.5",
    "soft:30*1",
    "soft:50*0.5",
    "ridge:0.1*1",
    "ridge:1*2",
)
FOLDS = 10
STEPS = 7
LEAST, MOST = -0.6, 0.8
"""Between these multiples of the mean state's direction the price is looked for, by halving."""
AT_A_TIME = 512
AWAY = -1e9

Fill = Callable[[Tensor], Tensor]
"""Vectors (M, D + W) of the items that a mask, bool (N,), names."""


@dataclass(frozen=True)
class Quality:
    """NDCG@10 of targets that are new items and of the others, and the share of new items in the lists."""

    new: float
    known: float
    share: float


class Pretended:
    """A run's distilled student, whose items can be taken for new ones, a tenth at a time."""

    def __init__(self, run: Path, users: int | None, seed: int = 0) -> None:
        data, student = PreparedData.load(run / "prepare"), load_student(run / "distilled").eval()
        title_map, _ = load_title_map(run / "distilled")
        self.map: TitleMap = title_map
        self.table = student.item_vectors().detach()
        generator = np.random.default_rng(seed)
        self.fold = torch.from_numpy(generator.integers(0, FOLDS, data.num_items))
        targets = data.targets("validation")
        chosen = np.sort(generator.permutation(len(targets))[:users])
        asked = Targets(targets.users[chosen], targets.positions[chosen])
        scorer = state_scorer(student, data, student.config.max_length)
        parts = [
            scorer.states(self.table, asked.users[at : at + AT_A_TIME], asked.positions[at : at + AT_A_TIME])
            for at in range(0, len(asked), AT_A_TIME)
        ]
        self.states = torch.cat(parts)
        self.targets = torch.from_numpy(data.target_items(asked).astype(np.int64))
        self.seen = [
            np.unique(data.history(user, position)).tolist()
            for user, position in zip(asked.users.tolist(), asked.positions.tolist(), strict=True)
        ]
        own = title_map.matrix.shape[1]
        self.popular = torch.zeros(self.table.shape[1])
        self.popular[:own] = normalize(self.states.mean(dim=0)[:own], dim=0)

    def quality(self, fill: Fill | None, lift: float = 0.0) -> Quality:
        """NDCG@10 with each tenth of the items taken for new in turn; without `fill` they are not there."""
        new, known, share = [], [], 0.0
        for number in range(FOLDS):
            is_new = self.fold == number
            table, away = self.table.clone(), is_new & (fill is None)
            if fill is not None:
                table[1:][is_new] = fill(is_new) + lift * self.popular
            for at in range(0, len(self.states), AT_A_TIME):
                gains, listed = self._ranked(table, at, away)
                asked = is_new[self.targets[at : at + AT_A_TIME] - 1]
                new.append(gains[asked])
                known.append(gains[~asked])
                share += float(is_new[listed - 1].float().mean()) * len(gains)
        return Quality(float(torch.cat(new).mean()), float(torch.cat(known).mean()), share / (FOLDS * len(self.states)))

    def _ranked(self, table: Tensor, at: int, away: Tensor) -> tuple[Tensor, Tensor]:
        """Gains (B,) of the targets and the items listed, int64 (B, 10), without items that are `away`, bool (N,)."""
        scores = self.states[at : at + AT_A_TIME] @ table.T
        scores[:, 0] = AWAY
        scores[:, 1:].masked_fill_(away, AWAY)
        for row, items in enumerate(self.seen[at : at + AT_A_TIME]):
            scores[row, items] = AWAY
        own = scores.gather(1, self.targets[at : at + AT_A_TIME, None])
        ranks = (scores >= own).sum(dim=1)  # ties count against the target
        return torch.where(ranks <= 10, 1 / torch.log2(ranks + 1.0), 0.0), scores.topk(10).indices

    def as_trained(self, is_new: Tensor) -> Tensor:
        """The vectors that these items have."""
        return self.table[1:][is_new]

    def filled(self, way: str) -> Fill:
        """What gives new items their vectors, by the name of a way.

        Raises:
            SystemExit: there is no such way.
        """
        kind, _, rest = way.partition(":")
        first, factor, similarity, *_ = [*rest.split("*"), "", ""]
        lend = {"none": self._nothing, "soft": self._soft, "ridge": self._ridge}.get(kind)
        if lend is None:
            raise SystemExit(f"{way}: no such way; soft:S*F*G, ridge:L*F*G or none")

        def fill(is_new: Tensor) -> Tensor:
            embeddings = self.map.embeddings[is_new]
            ids = lend(is_new, float(first or 0)) * float(factor or 1)
            similar = float(similarity or 1) * ((embeddings.float() - self.map.mean) @ self.map.axes)
            return torch.cat([ids + self.map.titles(embeddings), similar], dim=1)

        return fill

    def _known(self, is_new: Tensor) -> tuple[Tensor, Tensor]:
        """Titles' embeddings (K, H) less their mean, and ID embeddings (K, D), of the known items that have a title."""
        known = (self.map.embeddings != 0).any(dim=1) & ~is_new
        embeddings = self.map.embeddings[known]
        width = self.map.matrix.shape[1]
        return embeddings.float() - self.map.mean, self.table[1:][known, :width] - self.map.titles(embeddings)

    def _nothing(self, is_new: Tensor, _: float) -> Tensor:
        return torch.zeros(int(is_new.sum()), self.map.matrix.shape[1])

    def _soft(self, is_new: Tensor, sharpness: float) -> Tensor:
        titles, ids = self._known(is_new)
        asked = normalize(self.map.embeddings[is_new].float() - self.map.mean, dim=1)
        return torch.softmax(sharpness * (asked @ normalize(titles, dim=1).T), dim=1) @ ids

    def _ridge(self, is_new: Tensor, penalty: float) -> Tensor:
        titles, ids = self._known(is_new)
        axes = Whitening.fit(titles, min(128, *titles.shape))
        inputs, mean = axes(titles).float(), ids.mean(dim=0)
        moments = inputs.T @ inputs + penalty * len(inputs) * torch.eye(inputs.shape[1])
        found = torch.linalg.solve(moments, inputs.T @ (ids - mean))
        found_ids: Tensor = mean + axes(self.map.embeddings[is_new].float() - self.map.mean).float() @ found
        return found_ids


def at_price(pretended: Pretended, fill: Fill, least: float) -> tuple[float, Quality]:
    """The largest lift, by halving, with which known targets keep `least`, and its quality."""
    low, high = LEAST, MOST
    for _ in range(STEPS):
        middle = (low + high) / 2
        if pretended.quality(fill, middle).known >= least:
            low = middle
        else:
            high = middle
    return low, pretended.quality(fill, low)


def row(way: str, quality: Quality, lift: float | None, absent: Quality) -> dict[str, str | float | None]:
    """A line of JSON; `known` is told beside what it was `without` new items."""
    return {
        "way": way,
        "lift": None if lift is None else round(lift, 3),
        "new": round(quality.new, 5),
        "known": round(quality.known, 5),
        "known_without_new": round(absent.known, 5),
        "share_of_lists": round(quality.share, 4),
    }


@torch.inference_mode()
def main(argv: list[str] | None = None) -> None:
    """Print a line for each way as it is, and one at the price."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run, finished up to `distill`, whose student knows titles")
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--users", type=int, help="validation targets, drawn at random; all by default")
    parser.add_argument("--price", type=float, default=0.01, help="share of known targets' NDCG@10 that may be lost")
    arguments = parser.parse_args(argv)
    pretended = Pretended(arguments.run, arguments.users)
    absent = pretended.quality(None)
    print(json.dumps(row("as trained", pretended.quality(pretended.as_trained), None, absent)))
    for way in arguments.ways:
        fill = pretended.filled(way)
        print(json.dumps(row(way, pretended.quality(fill), None, absent)))
        lift, quality = at_price(pretended, fill, (1 - arguments.price) * absent.known)
        print(json.dumps(row(way, quality, lift, absent)), flush=True)


if __name__ == "__main__":
    main()
