"""The control teacher: a second student of another seed in the language model's place.

Its score is the student's plus a weight times the second student's, the weight chosen on validation as the language
model's correction is. Two models of one kind rank better together than either, and a student taught by both is
regularised; what that alone brings must not be counted as the language model's knowledge.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from recdistill.config import RunConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.language_models.title_lora import TUNING_FILE, load_tuning
from recdistill.language_models.title_tuning import tune_titles
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.storage.files import write_json
from recdistill.storage.typed import read_typed
from recdistill.students.make import load_student
from recdistill.teacher.two_students import TwoStudents
from recdistill.training.checkpoint import is_written, mark_written
from recdistill.training.correction import choose_weight
from recdistill.training.student import train_student

WEIGHT_FILE = "second_student.json"
SECOND_STREAM = 0x2ED
"""Tells the second student's seed from others that follow from the run's."""


class Weighed(TypedDict):
    """`second_student.json`: the weight of the second student's score, and the validation that chose it."""

    weight: float
    validation: dict[str, float]


def second_seed(seed: int) -> int:
    """The second student's seed: not the next one, with which another run's first student may be trained."""
    return int(np.random.SeedSequence([seed, SECOND_STREAM]).generate_state(1)[0])


def train_second_student(config: RunConfig, data: PreparedData, student_folder: Path, context: RunContext) -> None:
    """Train a second student as the first was, from a seed of its own, and choose its weight on validation.

    One that was trained before the try ended is not trained again.

    Args:
        config: `student`, `evaluate` and `seed` are read.
        data: histories and split; test is not looked at.
        student_folder: the finished student step.
        context: its folder gets the second student, its weight and logs.
    """
    folder, processes = context.folder, context.processes
    with context.profiler.phase("tune titles"), processes.first_goes_first():
        tuning = tune_titles(config.teacher, data, config.seed, cache_folder(), context.device)
    if tuning is not None:
        tuning.save(folder / TUNING_FILE)
    if not processes.share(is_written(context.shared)):
        train_student(replace(config, seed=second_seed(config.seed)), data, context)
        mark_written(folder)
    processes.wait()
    two = TwoStudents(
        data, load_student(student_folder), load_student(context.shared), 1.0, torch.empty(0), context.device
    )

    def validate(weight: float) -> dict[str, float]:
        two.weight = weight
        return validation_metrics(two.scorer(), data, config.evaluate, processes=processes)

    with context.profiler.phase("validation"):
        weight, metrics = choose_weight(validate)
    write_json(folder / WEIGHT_FILE, {"weight": weight, "validation": metrics})


def load_second_student(
    config: RunConfig, data: PreparedData, student_folder: Path, folder: Path, device: str
) -> TwoStudents:
    """Both students of finished steps, with the title embeddings that a language model's export would hold."""
    titles = title_embeddings(config.teacher, data.texts, cache_folder(), device, load_tuning(folder))
    weight = read_typed(folder / WEIGHT_FILE, Weighed)["weight"]
    return TwoStudents(data, load_student(student_folder), load_student(folder), weight, titles, device)
