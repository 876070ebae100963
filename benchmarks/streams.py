"""One user in one pass (`teacher.windows: sliding`) against overlapping windows, same language model; one JSON line.

    recdistill prepare --run runs/bench && python benchmarks/streams.py --data runs/bench/prepare --prompt text

Checked first: both learn each training target once and export each row once; of histories that fit one window both give
the same user states; and of a longer one, a stream gives what reading it step by step gives. Then whole training steps
(forward, loss over the catalog, backward, optimiser) and batches of the export (the teacher's part: states and scores)
are timed in turn, in CPU time. The windows have a layout of their own (`--padding`), as they would run without streams.
With text prompts the last block is run where something is predicted; `--whole` runs that of the windows, or of both, at
all tokens, as it was before.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.streams import reading_batches
from recdistill.data.windows import Windows
from recdistill.language_models.blocks import decoder_blocks
from recdistill.students.make import make_student, save_student
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.teacher import Teacher
from recdistill.training.teacher import TeacherTraining
from targets import learn

EXPORT_BATCH = 32
"""Prompts of a batch of the export, its default."""


def make_training(config: RunConfig, kind: str, padding: str, data: PreparedData, student: Path) -> TeacherTraining:
    """One variant, with experts and head that have an effect."""
    asked = {"windows": kind, "padding": "packed" if kind == "sliding" else padding}
    settings = replace(config.teacher, **asked)  # type: ignore[arg-type]
    teacher = Teacher(replace(config, teacher=settings), data, student, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in teacher.ranker.named_parameters():
            if parameter.requires_grad and ("lora_B" in name or "head.query" in name):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return TeacherTraining(teacher, config.seed)


def run_whole(training: TeacherTraining) -> None:
    """Run the last block at all tokens."""
    decoder_blocks(training.teacher.ranker.llm)[-1].forward.parts = []  # type: ignore[attr-defined]


def keys_of(windows: Windows) -> set[tuple[int, int]]:
    """All targets; raises where one stands twice."""
    found = [
        (user, position)
        for user, first, end in zip(windows.users, windows.first_targets, windows.ends, strict=True)
        for position in range(first, end + 1)
    ]
    if len(set(found)) != len(found):
        raise SystemExit("a target is predicted twice")
    return set(found)


def check(trainings: dict[str, TeacherTraining], events: int) -> None:
    """Both have the same targets; short histories the same states; a stream is what its steps are."""
    teachers = {kind: training.teacher for kind, training in trainings.items()}
    for of in (Teacher.training_windows, Teacher.export_windows):
        if keys_of(of(teachers["sliding"])) != keys_of(of(teachers["all"])):
            raise SystemExit("not the same targets")
    ends = teachers["all"].data.trained_ends
    short = np.flatnonzero((ends >= 2) & (ends <= teachers["all"].window_length))[:4]
    states = {}
    for kind, teacher in teachers.items():
        windows = teacher.training_windows()
        batch, found, _ = teacher.predict(windows, np.flatnonzero(np.isin(windows.users, short)))
        order = np.lexsort((batch.positions.numpy(), batch.users.numpy()))
        states[kind] = found[torch.from_numpy(order)]
    torch.testing.assert_close(states["sliding"], states["all"], rtol=1e-3, atol=1e-3)
    teacher = teachers["sliding"]
    windows = teacher.training_windows()
    row = int(np.flatnonzero(windows.lengths > events)[0])
    batch, found, _ = teacher.predict(windows, np.array([row]))
    growing = GrowingHistories(teacher.ranker, teacher.prompts, 1, window=teacher.config.stream_length)
    for step, item in enumerate(teacher.data.history(int(windows.users[row]), events).tolist()):
        state = growing.extend(torch.tensor([item]))[0]
        torch.testing.assert_close(state, found[step], rtol=1e-3, atol=1e-3)


def spread(plan: list[np.ndarray], sizes: np.ndarray, count: int) -> list[np.ndarray]:
    """Batches of all sizes that a plan has, evenly spread."""
    ordered = sorted(plan, key=lambda rows: int(sizes[rows].sum()))
    return [ordered[int((step + 0.5) * len(ordered) / count)] for step in range(min(count, len(ordered)))]


def timed_training(training: TeacherTraining, optimizer: torch.optim.Optimizer, turn: int, steps: int) -> float:
    """Targets learned per CPU second over some training steps."""
    training.module.train()
    plan = spread(list(training.plan(turn)), training.windows.num_targets, steps)
    began = time.process_time()
    return learn(training, optimizer, plan) / (time.process_time() - began)


def timed_export(teacher: Teacher, windows: Windows, batches: list[np.ndarray]) -> float:
    """Rows exported per CPU second."""
    began = time.process_time()
    rows = sum(len(teacher.predict(windows, batch, EXPORT_BATCH)[1]) for batch in batches)
    return rows / (time.process_time() - began)


def export_batches(teacher: Teacher, windows: Windows, count: int) -> list[np.ndarray]:
    """Some batches of the export, spread over it."""
    each = teacher.inputs_per_prompt
    most = None if each is None else each * EXPORT_BATCH
    plan = reading_batches(windows, teacher.prompt_lengths(windows), EXPORT_BATCH, most)
    return spread(plan, windows.num_targets, count)


def main() -> None:
    """Check, then time both variants in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--prompt", choices=("item", "text"), default="item")
    parser.add_argument("--padding", choices=("bucketed", "packed"), default="bucketed", help="of the windows")
    parser.add_argument("--whole", nargs="*", choices=("all", "sliding"), default=[], help="last block at all tokens")
    parser.add_argument("--layers", type=int, default=2, help="first blocks kept; 0: all")
    parser.add_argument("--steps", type=int, default=16, help="training steps of a variant in one turn")
    parser.add_argument("--batches", type=int, default=6, help="batches of the export of a variant in one turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = RunConfig()
    settings = replace(config.teacher, prompt=arguments.prompt, layers=arguments.layers or None, title_encoder="llm")
    config = replace(config, teacher=settings)
    data = PreparedData.load(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        save_student(make_student(config.student, data.num_items), Path(name))
        both = {kind: make_training(config, kind, arguments.padding, data, Path(name)) for kind in ("sliding", "all")}
    for kind in arguments.whole:
        run_whole(both[kind])
    check(both, events=2 * config.teacher.history_length)
    groups = {kind: [dict(group) for group in training.parameter_groups()] for kind, training in both.items()}
    optimizers = {kind: torch.optim.AdamW(own, lr=1e-6) for kind, own in groups.items()}
    windows = {kind: training.teacher.export_windows() for kind, training in both.items()}
    speeds: dict[str, dict[str, list[float]]] = {what: {kind: [] for kind in both} for what in ("learned", "exported")}
    for turn in range(arguments.repeats + 1):
        for kind in both if turn % 2 else reversed(both):
            training = both[kind]
            learned = timed_training(training, optimizers[kind], turn, arguments.steps)
            batches = export_batches(training.teacher, windows[kind], arguments.batches)
            exported = timed_export(training.teacher, windows[kind], batches)
            if turn:  # the first turn warms up, and computes the student's states
                speeds["learned"][kind].append(learned)
                speeds["exported"][kind].append(exported)
    line: dict[str, object] = {}
    for what, found in speeds.items():
        ratios = [new / old for new, old in zip(found["sliding"], found["all"], strict=True)]
        line |= {
            f"{what}_per_cpu_second_sliding": round(statistics.median(found["sliding"]), 1),
            f"{what}_per_cpu_second_windows": round(statistics.median(found["all"]), 1),
            f"{what}_ratio_median_of_pairs": round(statistics.median(ratios), 2),
            f"{what}_ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    line["settings"] = {key: str(value) for key, value in vars(arguments).items() if key != "data"}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
