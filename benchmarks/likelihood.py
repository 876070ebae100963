"""Does a language model's own likelihood of a title, after the titles of a history, help a student? JSON lines.

    python benchmarks/likelihood.py --run runs/demo --model student --users 500

For validation targets of users drawn at random, the run's student names its 50 best items. Of each the language model
(all its blocks, no adapter) says how much more probable its title is after the history's titles than alone:

    likelihood = log p(title | latest titles) - log p(title | header),       over all tokens of the title and its end

This is added to the student's score times a weight. The weight is chosen by NDCG@10 on half of the users and judged on
the other half, and the halves are changed; a target that is not among the 50 keeps its rank, so the language model
reads only for the others. A line for each of `--weights`: pretrained, and shuffled within each matrix, which knows no
words; the student beside it, the likelihood as the only order of the 50, the bootstrap's 95 % interval of the
difference over users and the p value of a sign-flip test.

The history is read once a target: the candidates stand behind it in one sequence, each seeing the history and itself.
The first lines' check compares that with reading each candidate on its own. Items without a title get a likelihood of
0. A language model is refused that does not predict words by its own input embeddings (SmolLM2 does).
"""

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.ranking import seen_items
from recdistill.evaluation.significance import bootstrap_means, interval, sign_flip_test
from recdistill.language_models.backbone import Backbone, load_backbone
from recdistill.students.make import load_student
from recdistill.training.student import student_sequence_scorer

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
HEADER = "Titles, in the order in which one person chose them:\n"
TOP, SAMPLES, HIDDEN = 10, 2000, -1e9
Values = NDArray[np.float64]


class TitleLikelihood:
    """How probable titles are after others.

    Args:
        backbone: a decoder whose words are predicted by its input embeddings.
        titles: N + 1.

    Raises:
        SystemExit: its words have an output matrix of their own.
    """

    def __init__(self, backbone: Backbone, titles: list[str]) -> None:
        if not getattr(backbone.decoder.config, "tie_word_embeddings", False):
            raise SystemExit("this language model has an output matrix of its own, which is not loaded here")
        self.decoder = backbone.decoder.eval()
        self.words: Tensor = self.decoder.get_input_embeddings().weight  # type: ignore[operator]
        tokenizer = backbone.tokenizer
        self.header = tokenizer(HEADER, add_special_tokens=False)["input_ids"]
        lines = [f"{' '.join(title.split())}\n" for title in titles]
        self.lines: list[list[int]] = tokenizer(lines, add_special_tokens=False)["input_ids"]
        self.untitled = [not title.strip() for title in titles]
        self.known_alone: dict[int, float] = {}

    @torch.inference_mode()
    def after(self, history: list[int], items: list[int]) -> Values:
        """Log p of each item's line after the header and the lines of a history: (items,)."""
        prefix = self.header + [token for item in history for token in self.lines[item]]
        lines = [self.lines[item] for item in items]
        tokens = torch.tensor([prefix + [token for line in lines for token in line]])
        places = list(range(len(prefix)))
        owner = torch.cat(
            [torch.zeros(len(prefix)), *(torch.full((len(one),), k + 1.0) for k, one in enumerate(lines))]
        )
        for line in lines:
            places += range(len(prefix), len(prefix) + len(line))
        count = tokens.shape[1]
        causal = torch.ones(count, count, dtype=torch.bool).tril()
        seen = causal & ((owner.unsqueeze(0) == 0) | (owner.unsqueeze(0) == owner.unsqueeze(1)))
        hidden = self.decoder(
            input_ids=tokens, attention_mask=seen[None, None], position_ids=torch.tensor([places])
        ).last_hidden_state[0]
        found, start = [], len(prefix)
        for line in lines:
            before = torch.cat([hidden[len(prefix) - 1 : len(prefix)], hidden[start : start + len(line) - 1]])
            log_p = torch.log_softmax(before @ self.words.T, dim=1)
            found.append(float(log_p[torch.arange(len(line)), torch.tensor(line)].sum()))
            start += len(line)
        return np.array(found)

    def gained(self, history: list[int], items: list[int]) -> Values:
        """What the history adds to each item's log p; 0 for an item without a title."""
        new = [item for item in items if item not in self.known_alone]
        if new:
            self.known_alone |= dict(zip(new, self.after([], new).tolist(), strict=True))
        titled = [item for item in history if not self.untitled[item]]
        gained = self.after(titled, items) - np.array([self.known_alone[item] for item in items])
        return np.where([self.untitled[item] for item in items], 0.0, gained)


def candidates(run: Path, model: str, data: PreparedData, targets: Targets, count: int) -> tuple[Tensor, Tensor]:
    """The student's best items that are not in the history, (rows, C), and their scores."""
    scorer = student_sequence_scorer(load_student(run / model), data, "cpu")
    best = []
    with torch.no_grad():
        for row in range(0, len(targets), 256):
            part = Targets(targets.users[row : row + 256], targets.positions[row : row + 256])
            scores = scorer.score(part.users, part.positions)
            rows, items = seen_items(data, part)
            scores[torch.from_numpy(rows), torch.from_numpy(items)] = -torch.inf
            best.append(scores.topk(count))
    return torch.cat([one.indices for one in best]), torch.cat([one.values for one in best])


def ndcg(scores: Values, is_target: NDArray[np.bool_]) -> Values:
    """NDCG@10 of each row of scores (rows, C); 0 where the target is none of the C."""
    own = np.where(is_target, scores, HIDDEN).max(axis=1)
    ranks = 1 + ((scores >= own[:, None]) & ~is_target).sum(axis=1)
    return np.where(is_target.any(axis=1) & (ranks <= TOP), 1 / np.log2(1 + ranks), 0.0)


def chosen_on_the_other_half(
    student: Values, gained: Values, is_target: NDArray[np.bool_]
) -> tuple[Values, list[float]]:
    """NDCG@10 of each row with the weight that is best for the rows of the other half, and both weights."""
    by_weight = np.stack([ndcg(student + weight * gained, is_target) for weight in WEIGHTS])
    half = np.arange(len(student)) % 2
    best = [int(by_weight[:, half != own].mean(axis=1).argmax()) for own in (0, 1)]
    return by_weight[np.array(best)[half], np.arange(len(student))], [WEIGHTS[one] for one in best]


def gained_where(likelihood: TitleLikelihood, histories: list[list[int]], items: Tensor, rows: Iterable[int]) -> Values:
    """What each history adds to its items' log p, (all rows, C): 0 in the rows not named, which are not read."""
    gained = np.zeros(items.shape)
    for row in rows:
        gained[row] = likelihood.gained(histories[row], items[row].tolist())
    return gained


def check(likelihood: TitleLikelihood, history: list[int], items: list[int]) -> float:
    """How far one pass over all candidates is from a pass for each, as a share of the log p."""
    together = likelihood.after(history, items)
    each = np.array([likelihood.after(history, [item])[0] for item in items])
    return float(np.abs(together / each - 1).max())


def measure(given: argparse.Namespace, data: PreparedData, weights: str) -> dict[str, Any]:
    """One line."""
    targets = data.targets("validation")
    rows = np.sort(np.random.default_rng(given.seed).permutation(len(targets))[: given.users])
    targets = Targets(targets.users[rows], targets.positions[rows])
    items, scores = candidates(given.run, given.model, data, targets, given.candidates)
    teacher = TeacherConfig(llm=given.llm, llm_weights=weights, layers=given.layers)  # type: ignore[arg-type]
    likelihood = TitleLikelihood(load_backbone(teacher, cache_folder(), "cpu", given.layers), data.titles)
    histories = [
        data.history(int(user), int(position))[-given.history :].tolist()
        for user, position in zip(targets.users, targets.positions, strict=True)
    ]
    apart = check(likelihood, histories[0], items[0, :5].tolist())
    is_target = items.numpy() == data.target_items(targets)[:, None]
    there = np.flatnonzero(is_target.any(axis=1))
    began = time.process_time()
    gained = gained_where(likelihood, histories, items, there)
    seconds = time.process_time() - began
    student = scores.double().numpy()
    plain, alone = ndcg(student, is_target), ndcg(gained, is_target)
    both, best = chosen_on_the_other_half(student, gained, is_target)
    gain = (both - plain)[:, None]
    low, high = interval(bootstrap_means(targets.users, gain, SAMPLES, np.random.default_rng(0)))[0]
    p = sign_flip_test(targets.users, gain, SAMPLES, np.random.default_rng(0))[0]
    return {
        "weights": weights,
        "model": given.model,
        "users": len(targets),
        "read": len(there),
        "hit_rate_of_candidates": round(float(is_target.any(axis=1).mean()), 5),
        "student": round(float(plain.mean()), 5),
        "likelihood_alone": round(float(alone.mean()), 5),
        "with_likelihood": round(float(both.mean()), 5),
        "chosen_weights": best,
        "difference": round(float(gain.mean()), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "p": round(float(p), 5),
        "by_weight": {weight: round(float(ndcg(student + weight * gained, is_target).mean()), 5) for weight in WEIGHTS},
        "one_pass_apart": apart,
        "cpu_seconds_per_target": round(seconds / max(len(there), 1), 2),
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, required=True, help="a run with its prepare and the student's step finished"
    )
    parser.add_argument("--model", default="student", choices=["student", "distilled"])
    parser.add_argument("--users", type=int, default=500, help="validation targets, drawn at random")
    parser.add_argument("--weights", nargs="+", default=["pretrained", "shuffled"], choices=["pretrained", "shuffled"])
    parser.add_argument("--llm", default="smollm2", help="as `teacher.llm`")
    parser.add_argument("--layers", type=int, help="blocks of the language model (unset: all)")
    parser.add_argument("--history", type=int, default=20, help="latest items whose titles are read")
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    data = PreparedData.load(given.run / "prepare")
    for weights in given.weights:
        print(json.dumps(measure(given, data, weights)), flush=True)


if __name__ == "__main__":
    main()
