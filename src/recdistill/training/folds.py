"""Out-of-fold teachers: for the targets of a part of the users, a student and a teacher that have not seen them.

A teacher's lists for targets that it was trained on hold what it has memorised; those for other people's hold what it
has understood. The users are dealt into F folds, those with targets to train on evenly. For each, a student and a
teacher are trained on the other folds, and validated on them too, and write the outputs of this one. Validation
targets, on which nobody was trained, are scored by the plain teacher.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.protocol import deciding
from recdistill.measure.context import RunContext
from recdistill.storage.run_folder import fingerprint
from recdistill.teacher.folded import fold_of_users, folders_of, free_memory
from recdistill.training.checkpoint import is_written, mark_written
from recdistill.training.student import train_student
from recdistill.training.teacher import train_teacher


def only_users(data: PreparedData, chosen: NDArray[np.bool_], name: str) -> PreparedData:
    """The same data with the training targets of `chosen` users only; `name` tells it from others."""
    trained = chosen if data.trained_users is None else chosen & data.trained_users
    return replace(data, trained_users=trained, split_fingerprint=f"{data.split_fingerprint} {name}")


def validation_without(data: PreparedData, fold: NDArray[np.int64], number: int) -> Targets:
    """The validation targets of the users outside a fold: they choose its epoch and weights, and the fold has no say.

    Raises:
        UserError: there is none.
    """
    targets = data.targets("validation")
    others = fold[targets.users] != number
    if not others.any():
        raise UserError(f"teacher.folds: all validation targets are of users of fold {number}; take other folds")
    return Targets(targets.users[others], targets.positions[others])


def train_folds(config: RunConfig, data: PreparedData, user_ids: Sequence[str], context: RunContext) -> None:
    """Train the student and the teacher of each fold; those that are finished are left as they are.

    Args:
        config: `student`, `teacher`, `evaluate` and `seed` are read.
        data: histories and split; test is not looked at.
        user_ids: people's own ids of the users.
        context: its folder is the teacher's; each fold gets `folds/<f>/student`, unless its teacher trains one with
            titles, and `folds/<f>/teacher`.

    Raises:
        UserError: there are more folds than users with training targets, no validation target is outside a fold, or
            training diverged.
    """
    fold = fold_of_users(data, config.teacher.folds, config.seed)
    for number in range(config.teacher.folds):
        rest = only_users(data, fold != number, f"blind to fold {number}")
        validation = validation_without(data, fold, number)
        student_folder, teacher_folder = folders_of(Path(), number)
        if config.teacher.student == "plain":
            _train_student(config, rest, context.within(*student_folder.parts), validation)
        teacher = context.within(*teacher_folder.parts)
        if not context.processes.share(is_written(teacher.shared)):
            made_from = (rest.split_fingerprint, *deciding(config.evaluate).items())
            name = fingerprint("fold", config.teacher, config.student, config.seed, *made_from)
            train_teacher(config, rest, user_ids, context.shared / student_folder, teacher, name, validation)
            mark_written(teacher.folder)
            free_memory(context.device)
        context.processes.wait()


def _train_student(config: RunConfig, data: PreparedData, context: RunContext, validation: Targets) -> None:
    """The student that a fold's teacher reads; one that is finished is left as it is."""
    if not context.processes.share(is_written(context.shared)):
        train_student(config, data, context, validation)
        mark_written(context.folder)
    context.processes.wait()
