"""Does the gate do anything? A trained teacher ranks validation with its own expert weights, and others; JSON lines.

    python benchmarks/gate.py --run runs/studies/ml-latest-small/main/seed-1

`own`: as trained, at each item the weights of the history up to it. `own-last`: at every item those of the whole
history. `another`: at every item those of another user's whole history, dealt at random. `uniform`: all experts alike,
plain LoRA. If `another` ranks no worse than `own-last`, the gate does not serve the user. The first line holds how far
the weights differ between users, the others NDCG@10 of the whole teacher and of its correction alone (the student's
score hidden), and the difference to `own` with the bootstrap's 95 % interval over users. Data in which a user has
several validation targets (`data.split: global_time`) are refused, since weights are dealt by user.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.config.settings import run_config
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import collate, history_windows
from recdistill.evaluation.metrics import FloatArray, ndcg
from recdistill.evaluation.protocol import rank_validation
from recdistill.evaluation.significance import bootstrap_means, interval
from recdistill.storage.files import read_json
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.scorers import ReadOnce
from recdistill.teacher.teacher import Teacher, load_teacher

BOOTSTRAP_SAMPLES = 2000
Weights = Callable[[PromptBatch, Tensor], Tensor]


def config_of(run: Path) -> RunConfig:
    """The settings of a run's student and teacher, and how their targets were ranked, from their manifests."""
    sections = {name: read_json(run / name / "manifest.json")["config"] for name in ("student", "teacher")}
    inputs = read_json(run / "teacher" / "manifest.json")["inputs"]
    ranked = {"filter_seen": inputs.get("evaluate.filter_seen", True)}
    return run_config(sections | {"evaluate": ranked, "seed": int(inputs["seed"])})


def refuse_several_targets(data: PreparedData) -> None:
    """A user's weights are those of the one history before the one validation target.

    Raises:
        SystemExit: a user has more than one.
    """
    users = data.targets("validation").users
    if len(np.unique(users)) < len(users):
        raise SystemExit("gate: some user has several validation targets; prepare with data.split: leave_one_out")


@torch.inference_mode()
def last_weights(teacher: Teacher) -> Tensor:
    """Expert weights after each validation user's whole history: (users, E)."""
    data, gate = teacher.data, teacher.ranker.gate
    if gate is None:
        raise SystemExit("this teacher has no gate")
    windows = history_windows(data, data.targets("validation"), teacher.window_length)
    items = collate(data, windows, np.arange(len(windows))).items
    return gate(teacher.ranker.student.last_states(items))  # type: ignore[no-any-return]


def variants(teacher: Teacher, last: Tensor, seed: int) -> dict[str, Weights]:
    """What stands in the gate's place, by name."""
    own = type(teacher.ranker).expert_weights.__get__(teacher.ranker)
    users = torch.from_numpy(teacher.data.targets("validation").users.astype(np.int64))
    row_of = {int(user): row for row, user in enumerate(users)}
    order = torch.randperm(len(users), generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # one ring through all users, so that nobody keeps their own

    def constant(rows: Callable[[Tensor], Tensor]) -> Weights:
        def weights(batch: PromptBatch, states: Tensor) -> Tensor:
            places = torch.tensor([row_of[int(user)] for user in prompt_users(batch)])
            return rows(places).unsqueeze(1).expand(-1, states.shape[1] + 1, -1)

        return weights

    return {
        "own": own,
        "own-last": constant(lambda places: last[places]),
        "another": constant(lambda places: last[other[places]]),
        "uniform": constant(lambda places: torch.full_like(last[places], 1 / last.shape[1])),
    }


def prompt_users(batch: PromptBatch) -> Tensor:
    """The user of each prompt: validation prompts have one target each."""
    users = torch.empty(len(batch.lengths), dtype=torch.int64)
    users[batch.target_prompts] = batch.users.long()
    return users


def quality(teacher: Teacher, alone: bool) -> FloatArray:
    """NDCG@10 of each validation target: with all parts of the score as they are kept, or the correction alone."""
    targets, head = teacher.data.targets("validation"), teacher.ranker.head
    read = ReadOnce(teacher, targets)
    read.titles_weight = 1.0  # what is read holds the kept weights already
    if alone:
        begin = head.student_vectors.shape[1] if head.residual else 0
        read.states[:, :begin] = 0
        read.states[:, begin + teacher.config.head_dim :] = 0
    ranking = rank_validation(read, teacher.data, teacher.evaluate, targets)
    return ndcg(ranking.ranks, 10)


def parse(meaning: str) -> argparse.Namespace:
    """Which run, and how many threads; they are set."""
    parser = argparse.ArgumentParser(description=meaning, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run with the finished steps prepare, student, teacher")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def main() -> None:
    """Rank with each variant, compare."""
    arguments = parse(str(__doc__))
    config, data = config_of(arguments.run), PreparedData.load(arguments.run / "prepare")
    refuse_several_targets(data)
    teacher = load_teacher(config, data, arguments.run / "student", arguments.run / "teacher", "cpu")
    last, users = last_weights(teacher), data.targets("validation").users
    entropy = float(-(last * last.clamp_min(1e-12).log()).sum(dim=1).mean())
    spread = [round(float(value), 4) for value in last.std(dim=0)]
    about = {
        "run": str(arguments.run),
        "experts": last.shape[1],
        "mean_weights": [round(float(value), 4) for value in last.mean(dim=0)],
        "std_between_users": spread,
        "mean_entropy": round(entropy, 4),
        "most_entropy": round(float(np.log(last.shape[1])), 4),
    }
    print(json.dumps(about))
    found: dict[str, dict[str, FloatArray]] = {}
    for name, weights in variants(teacher, last, config.seed).items():
        teacher.ranker.expert_weights = weights  # type: ignore[method-assign, assignment]
        found[name] = {"whole": quality(teacher, alone=False), "alone": quality(teacher, alone=True)}
        line: dict[str, object] = {"weights": name}
        for kind, values in found[name].items():
            line[f"ndcg@10_{kind}"] = round(float(values.mean()), 5)
            if name != "own":
                gap = values - found["own"][kind]
                means = bootstrap_means(users, gap[:, None], BOOTSTRAP_SAMPLES, np.random.default_rng(0))
                line[f"to_own_{kind}"] = [round(float(end), 5) for end in (gap.mean(), *interval(means)[0])]
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
