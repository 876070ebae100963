"""One more event of one user: a cached history extended against the history read anew, in turn; one JSON line.

    recdistill prepare --run runs/bench && python benchmarks/growing.py --data runs/bench/prepare

Checked at every event: both ways give the same user state. Timed is what a service waits for after an event: the state
and the scores of all items.
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
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import history_windows
from recdistill.students.make import make_student, save_student
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.teacher import Teacher


def make_teacher(arguments: argparse.Namespace, data: PreparedData, student: Path) -> Teacher:
    """A teacher whose experts and head have an effect."""
    config = RunConfig()
    settings = replace(
        config.teacher,
        prompt=arguments.prompt,
        targets="last",
        layers=arguments.layers or None,
        history_length=50,
        title_encoder="llm",
        title_decay=0.0,
    )
    torch.manual_seed(0)
    save_student(make_student(config.student, data.num_items), student)
    teacher = Teacher(replace(config, teacher=settings), data, student, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in teacher.ranker.named_parameters():
            if parameter.requires_grad and ("lora_B" in name or "head.query" in name):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    teacher.ranker.eval()
    return teacher


def main() -> None:
    """Grow one user's history event by event, both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--prompt", choices=("item", "text"), default="text")
    parser.add_argument("--layers", type=int, default=0, help="first blocks kept; 0: all")
    parser.add_argument("--events", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = PreparedData.load(arguments.data)
    user = int(np.flatnonzero(data.train_ends > arguments.events)[0])
    with tempfile.TemporaryDirectory() as name:
        teacher = make_teacher(arguments, data, Path(name))
    histories = GrowingHistories(teacher.ranker, teacher.prompts, 1, window=50)
    times: dict[str, list[float]] = {"extended": [], "anew": []}
    history = data.history(user, arguments.events)
    for event, item in enumerate(history.tolist(), start=1):
        began = time.perf_counter()
        with torch.inference_mode():
            grown = histories.extend(torch.tensor([item]))
            teacher.ranker.scores(grown)
        between = time.perf_counter()
        keys = Targets(np.array([user], dtype=np.int32), np.array([event], dtype=np.int32))
        _, anew, _ = teacher.predict(history_windows(data, keys, 50), np.array([0]))
        times["extended"].append(between - began)
        times["anew"].append(time.perf_counter() - between)
        torch.testing.assert_close(grown, anew, rtol=1e-3, atol=1e-3)
    late = arguments.events // 2
    ratios = [anew / grown for anew, grown in zip(times["anew"][late:], times["extended"][late:], strict=True)]
    line = {
        "milliseconds_extended": round(1e3 * statistics.median(times["extended"][late:]), 2),
        "milliseconds_anew": round(1e3 * statistics.median(times["anew"][late:]), 2),
        "ratio_median_of_pairs": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "tokens_read": histories.tokens_read,
        "tokens_reused": histories.tokens_reused,
        "events_timed": [late + 1, arguments.events],
        "settings": {key: str(value) for key, value in vars(arguments).items() if key != "data"},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
