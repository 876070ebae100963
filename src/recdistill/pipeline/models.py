"""The models that a run's finished steps left, loaded to export or to rank with."""

from collections.abc import Callable
from typing import assert_never

from recdistill.config import PlantedConfig
from recdistill.config.teacher_kind import LanguageModel, NoTeacher, SecondStudent
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines import baseline_scorers
from recdistill.evaluation.baselines.oracle import OracleScorer
from recdistill.evaluation.scorer import Scorer
from recdistill.measure.context import RunContext
from recdistill.pipeline.plans import OpenRun
from recdistill.steps import SPECS
from recdistill.teacher.folded import FoldedTeacher
from recdistill.teacher.teacher import TITLED, Teacher, load_teacher
from recdistill.teacher.two_students import TwoStudents
from recdistill.training.scoring import teacher_scorer
from recdistill.training.second_student import load_second_student
from recdistill.training.student import student_scorer


def exporting_teacher(run: OpenRun, data: PreparedData) -> Teacher | FoldedTeacher | TwoStudents:
    """The teacher of this run, of whatever kind."""
    match kind := run.config.teacher.chosen:
        case LanguageModel():
            return language_model(run, kind, data)
        case SecondStudent():
            return second_student(run, data)
        case NoTeacher():
            raise ValueError("a run without a teacher exports nothing")
        case _:
            assert_never(kind)


def language_model(run: OpenRun, kind: LanguageModel, data: PreparedData) -> Teacher | FoldedTeacher:
    """The language model as a teacher, or those of all folds as one."""
    if kind.folds:
        return FoldedTeacher(run.config, data, run.step("student"), run.step("teacher"), run.device)
    return load_teacher(run.config, data, run.step("student"), run.step("teacher"), run.device, run.processes)


def second_student(run: OpenRun, data: PreparedData) -> TwoStudents:
    """The control teacher of this run."""
    return load_second_student(run.config, data, run.step("student"), run.step("teacher"), run.device)


def scorers(run: OpenRun, data: PreparedData, context: RunContext) -> dict[str, Callable[[], Scorer]]:
    """Every model of the run, each loaded only when its turn comes."""
    config, device = run.config, run.device
    student, teacher, distilled = run.step("student"), run.step("teacher"), run.step("distill")
    targets = data.targets(config.evaluate.split)
    made: dict[str, Callable[[], Scorer]] = {
        **baseline_scorers(data, config.evaluate),
        "student": lambda: student_scorer(student, data, device),
    }
    match kind := config.teacher.chosen:
        case LanguageModel():
            if config.teacher.student == "titled":
                made["titled"] = lambda: student_scorer(teacher / TITLED, data, device)
            made["teacher"] = lambda: teacher_scorer(config, data, targets, student, teacher, context)
        case SecondStudent():
            made["teacher"] = lambda: second_student(run, data).scorer()
        case NoTeacher():
            pass
        case _:
            assert_never(kind)
    if not SPECS["distill"].left_out(config):
        made["distilled"] = lambda: student_scorer(distilled, data, device)
    if isinstance(rule := config.data.chosen, PlantedConfig):
        made["oracle"] = lambda: OracleScorer(data, rule)
    return made
