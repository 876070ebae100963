"""Similarity of titles beside a trained student's scores; its weight is chosen on validation."""

from dataclasses import replace

from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.measure.context import RunContext
from recdistill.students.base import Student
from recdistill.students.title_similarity import TitleSimilarity
from recdistill.teacher.whitening import whiten
from recdistill.training.correction import TITLE_WEIGHTS, choose_weight
from recdistill.training.student import student_sequence_scorer


def add_similarity(
    student: Student, embeddings: Tensor, config: RunConfig, data: PreparedData, context: RunContext
) -> TitleSimilarity:
    """Give a trained student's scores a part for similar titles, with the weight that ranks validation best.

    The weight may be 0; the part is there then and does nothing.

    Args:
        student: the student, trained; its titles are folded in.
        embeddings: fp32 (N + 1, H), of the titles; zero where there is none.
        config: `distill.title_decay`, `teacher.title_dim` and `evaluate` are read.
        data: histories; validation is ranked once for each weight.
        context: device and processes.

    Returns:
        What was added.
    """
    student.see_similarity(whiten(embeddings, config.teacher.title_dim), config.distill.title_decay, 1.0)
    student.eval()
    added, targets = student.similarity, data.targets("validation")
    if added is None:
        raise ValueError("a part for similar titles was not added")
    scorer = student_sequence_scorer(student, data, context.device)

    def validate(weight: float) -> dict[str, float]:
        student.similarity = replace(added, weight=weight)
        return validation_metrics(scorer, data, config.evaluate, targets, context.processes)

    best, _ = choose_weight(validate, TITLE_WEIGHTS, "similar titles")
    student.similarity = replace(added, weight=best)
    return student.similarity
