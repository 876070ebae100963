"""A student whose item vectors see titles, before its training."""

from dataclasses import replace
from pathlib import Path
from typing import assert_never

import torch
from torch import Tensor, nn

from recdistill.config import RunConfig
from recdistill.distill.strength import numbers
from recdistill.students.base import INIT_STD, Student
from recdistill.students.make import load_student, make_student
from recdistill.teacher.whitening import have_titles, whiten


def titled_student(
    config: RunConfig, num_items: int, embeddings: Tensor, student_folder: Path | None = None
) -> Student:
    """An untrained student of the `student` section's shape whose item vectors see the titles (DLLM2Rec §4.2).

    The title embeddings are whitened first: those of a language model all point nearly one way, and what tells titles
    apart is small beside it. An item without a title has its ID embedding alone.

    Args:
        config: `student`, `distill`, `teacher.title_dim` and `seed` are read.
        num_items: items N.
        embeddings: fp32 (N + 1, H), of the titles; zero where there is none.
        student_folder: the finished plain student, for `start: student`.
    """
    distill, dim = config.distill, config.student.embedding_dim
    titled = have_titles(embeddings)
    see_titles = distill.embedding_weight > 0 and bool(titled.any())
    titles = whiten(embeddings, config.teacher.title_dim) if see_titles else None
    shape, (_, dropout) = config.student, numbers(distill)
    if dropout is not None:
        shape = replace(shape, dropout=dropout)
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        student = make_student(shape, num_items, titles, distill.embedding_weight)
    with torch.no_grad():
        if distill.start == "titles":
            axes = whiten(embeddings, dim)[titled] * INIT_STD
            student.items.ids[titled, : axes.shape[1]] = axes
        elif distill.start == "student":
            if student_folder is None:
                raise ValueError("start: student needs the student's folder")
            _start_from(student, load_student(student_folder))
        elif distill.start != "random":
            assert_never(distill.start)
    if see_titles and distill.id_dropout > 0:
        student.items.drop_ids(distill.id_dropout)
    return student


def _start_from(student: Student, plain: Student) -> None:
    """Take over a trained student's weights; titles start at zero, so that scores start as they were."""
    weights = plain.state_dict()
    missing = student.load_state_dict(weights, strict=False).missing_keys
    if student.items.projection is not None:
        nn.init.zeros_(student.items.projection.weight)
        missing = [name for name in missing if name != "items.projection.weight"]
    if missing:
        raise ValueError(f"the plain student lacks {missing[0]}")
