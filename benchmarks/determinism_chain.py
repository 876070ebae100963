"""A small chain that `determinism.py` trains and reads in many ways."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.config import RunConfig
from recdistill.config.settings import nested, run_config
from recdistill.data.prepared import PreparedData
from recdistill.interruption import Interrupted, handled_signals
from recdistill.pipeline import run as run_chain
from recdistill.serving.onnx_engine import OnnxEngine
from recdistill.serving.torch_engine import TorchEngine
from recdistill.steps import Step
from recdistill.students.make import load_student
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import load_teacher

Scores = dict[str, NDArray[np.float32]]
"""Model → scores (targets, N)."""
SETTINGS = {
    "data.source": "planted",
    "data.planted.users": 120,
    "data.planted.items": 300,
    "data.planted.topics": 8,
    "device": "cpu",
    "threads": 1,
    "student.embedding_dim": 64,
    "student.num_layers": 1,
    "student.max_length": 10,
    "student.train.max_epochs": 4,
    "student.train.batch_size": 16,
    "teacher.layers": 2,
    "teacher.history_length": 10,
    "teacher.title_dim": 8,
    "teacher.title_encoder": "llm",
    "teacher.head_dim": 8,
    "teacher.train.max_epochs": 2,
    "teacher.train.batch_size": 16,
    "export.top_k": 10,
    "distill.top_k": 5,
    "distill.train.max_epochs": 2,
    "distill.train.batch_size": 16,
}


class Chain:
    """A chain in a folder, and the scores of its models."""

    def __init__(self, folder: Path, llm: Path, **settings: Any) -> None:
        said = SETTINGS | {"teacher.llm": str(llm), "run": str(folder)}
        self.folder, self.settings = folder, said | {key.replace("__", "."): one for key, one in settings.items()}
        self.config: RunConfig = run_config(nested(self.settings))

    def train(self, until: Step = "distill") -> "Chain":
        """Train it in this process."""
        run_chain(self.config, until=until)
        return self

    def train_elsewhere(self, until: Step = "distill") -> "Chain":
        """Train it in a process of its own."""
        words = [f"--{key}={value}" for key, value in self.settings.items()]
        subprocess.run([sys.executable, "-m", "recdistill", until, "--quiet", *words], check=True)
        return self

    def train_interrupted(self, seconds: float) -> tuple["Chain", int]:
        """Train it, with a SIGTERM again and again after some seconds; it, and how often it was stopped."""
        stops = 0
        while True:
            timer = threading.Timer(seconds * 1.15**stops, os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            try:
                with handled_signals(quiet=True):
                    run_chain(self.config, until="distill")
                    timer.cancel()
                return self, stops
            except Interrupted:
                stops += 1
            finally:
                timer.cancel()

    @property
    def data(self) -> PreparedData:
        """The prepared data."""
        return PreparedData.load(self.folder / "prepare")

    def histories(self) -> list[list[int]]:
        """Histories before the validation targets."""
        data, targets = self.data, self.data.targets("validation")
        pairs = zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
        return [data.history(user, position).tolist() for user, position in pairs]

    def student_scores(self, model: str, together: int = 10_000) -> NDArray[np.float32]:
        """A student's scores by torch, of so many histories at a time."""
        return engine_scores(TorchEngine(load_student(self.folder / model)), self.histories(), together)

    def teacher_scores(self, together: int = 10_000, **settings: Any) -> NDArray[np.float32]:
        """The teacher's scores, read with other settings than it was trained with, of so many histories at a time.

        The language model's part counts fully, whatever weight validation has given it, so that it is what is compared.
        """
        config, data = replace(self.config, teacher=replace(self.config.teacher, **settings)), self.data
        loaded = load_teacher(config, data, self.folder / "student", self.folder / "teacher", "cpu")
        targets, scorer = data.targets("validation"), TeacherScorer(loaded)
        with torch.inference_mode():
            loaded.ranker.head.correction_weight.fill_(1.0)
            rows = [slice(start, start + together) for start in range(0, len(targets), together)]
            parts = [scorer.score(targets.users[some], targets.positions[some]) for some in rows]
            return torch.cat(parts).numpy()[:, 1:]

    def scores(self) -> Scores:
        """All three models' scores, as they were trained to be read."""
        found = {model: self.student_scores(model) for model in ("student", "distilled")}
        return {"student": found["student"], "teacher": self.teacher_scores(), "distilled": found["distilled"]}


def engine_scores(engine: TorchEngine | OnnxEngine, histories: list[list[int]], together: int) -> NDArray[np.float32]:
    """Scores (histories, N) of an engine, of so many histories at a time."""
    parts = [engine.states(histories[start : start + together]) for start in range(0, len(histories), together)]
    # One by one, so that only the model itself and not the product behind it is given another batch.
    found: NDArray[np.float32] = np.stack([state @ engine.item_vectors[1:].T for state in np.concatenate(parts)])
    return found
