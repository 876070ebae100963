"""A chain small enough to run end to end in seconds: synthetic interactions with titles, a random language model."""

import csv
from pathlib import Path

import numpy as np

NUM_ITEMS = 24
STEPS = ("prepare", "student", "teacher", "teacher_outputs", "distilled", "evaluation", "report")


def write_interactions(folder: Path, users: int = 40, seed: int = 0) -> Path:
    """Write `events.csv` and `items.csv` to `folder`: users who walk around a ring of items, mostly step by step."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for user in range(users):
            steps = generator.choice([1, 1, 1, 2], size=generator.integers(6, 13))
            walk = (generator.integers(NUM_ITEMS) + np.cumsum(steps)) % NUM_ITEMS + 1
            clock = int(generator.integers(1000))
            writer.writerows([f"u{user}", f"i{item}", clock + 10 * place] for place, item in enumerate(walk))
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title"])
        writer.writerows([f"i{item}", f"Film {item}"] for item in range(1, NUM_ITEMS + 1))
    return folder / "events.csv"


def options(run: Path, llm: Path, events: Path, *more: str) -> list[str]:
    """Options of a tiny run in folder `run`; those in `more` come last, so they win."""
    settings = {
        "run": run,
        "threads": 2,
        "device": "cpu",
        "data.source": "csv",
        "data.path": events,
        "data.items_path": events.with_name("items.csv"),
        "student.embedding_dim": 16,
        "student.num_layers": 1,
        "student.max_length": 10,
        "student.train.max_epochs": 3,
        "student.train.batch_size": 16,
        "teacher.llm": llm,
        "teacher.layers": 2,
        "teacher.history_length": 10,
        "teacher.title_dim": 8,
        "teacher.title_encoder": "llm",
        "teacher.title_decay": 0.0,
        "teacher.head_dim": 8,
        "teacher.train.max_epochs": 2,
        "teacher.train.batch_size": 16,
        "export.top_k": 10,
        "distill.top_k": 5,
        "distill.train.max_epochs": 2,
        "distill.train.batch_size": 16,
        "evaluate.candidates": 5,
        "evaluate.bootstrap_samples": 20,
        "evaluate.permutations": 20,
    }
    return ["--quiet", *(f"--{key}={value}" for key, value in settings.items()), *more]
