"""The trained teacher of a finished step as a scorer of given targets, its blocks compiled before it is asked."""

from pathlib import Path

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import history_windows
from recdistill.evaluation.scorer import Scorer
from recdistill.measure.context import RunContext
from recdistill.teacher.padding import Shapes
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import load_teacher
from recdistill.training.warm_up import compile_reading


def teacher_scorer(
    config: RunConfig,
    data: PreparedData,
    targets: Targets,
    student_folder: Path,
    folder: Path,
    context: RunContext,
) -> Scorer:
    """Load the teacher, and compile what reading the targets' histories needs.

    Shapes are chosen anew for these histories, since some may be longer than all that the teacher was trained on; a
    score does not depend on them.

    Args:
        config: the run's.
        data: the histories.
        targets: what will be scored, in any order and any batches.
        student_folder: the finished student step.
        folder: the finished teacher step.
        context: its profiler gets the phase `compile`, where blocks are compiled.

    Raises:
        UserError: the step's files are missing or do not fit, or compiling took longer than `teacher.compile_seconds`.
    """
    teacher = load_teacher(config, data, student_folder, folder, context.device, context.processes)
    if config.teacher.compile and len(targets):
        windows = history_windows(data, targets, teacher.window_length)
        teacher.shapes = Shapes(config.teacher, teacher.prompt_lengths(windows))
        with context.profiler.phase("compile"):
            compile_reading(teacher, windows, teacher.read_batch)
    return TeacherScorer(teacher)
