"""Out-of-fold teachers: for the targets of a part of the users, a student and a teacher that have not seen them.

A teacher's lists for targets that it was trained on hold what it has memorised; those for other people's hold what it
has understood. The users are dealt into F folds, those with targets to train on evenly. For each, a student and a
teacher are trained on the other folds, and validated on them too, and write the outputs of this one. Validation
targets, on which nobody was trained, are scored by the plain teacher.
"""

import gc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.batches import Windows
from recdistill.data.prepared import PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.protocol import deciding
from recdistill.measure.context import RunContext
from recdistill.measure.evidence import TokenCount
from recdistill.storage.run_folder import fingerprint
from recdistill.teacher.predictions import PredictedKeys
from recdistill.teacher.teacher import Teacher, load_teacher
from recdistill.training.checkpoint import is_written, mark_written
from recdistill.training.student import train_student
from recdistill.training.teacher import train_teacher

FOLDS_FOLDER = "folds"
FOLDS_STREAM = 0xF01D
"""Tells the deal of the folds from other draws with the same seed."""


def fold_of_users(data: PreparedData, folds: int, seed: int) -> NDArray[np.int64]:
    """Each user's fold, 0..F-1: int64 (users,); folds differ by one user with training targets at most.

    Raises:
        UserError: there are fewer such users than folds.
    """
    targets = data.trained_ends >= 2  # a first interaction has no history, so it is no target
    if folds > (users := int(np.count_nonzero(targets))):
        raise UserError(f"teacher.folds: {folds} folds are more than the {users} users with targets to train on")
    order = np.random.default_rng([seed, FOLDS_STREAM]).permutation(data.num_users)
    order = np.concatenate([order[targets[order]], order[~targets[order]]])
    fold = np.empty(data.num_users, dtype=np.int64)
    fold[order] = np.arange(data.num_users) % folds
    return fold


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
        context: its folder is the teacher's; each fold gets `folds/<f>/student` and `folds/<f>/teacher`.

    Raises:
        UserError: there are more folds than users with training targets, no validation target is outside a fold, or
            training diverged.
    """
    fold = fold_of_users(data, config.teacher.folds, config.seed)
    for number in range(config.teacher.folds):
        rest = only_users(data, fold != number, f"blind to fold {number}")
        validation = validation_without(data, fold, number)
        student, teacher = _folders(context.folder, number)
        if not is_written(student):
            student.mkdir(parents=True, exist_ok=True)
            train_student(config, rest, context.within(student), validation)
            mark_written(student)
        if not is_written(teacher):
            teacher.mkdir(parents=True, exist_ok=True)
            made_from = (rest.split_fingerprint, *deciding(config.evaluate).items())
            name = fingerprint("fold", config.teacher, config.student, config.seed, *made_from)
            train_teacher(config, rest, user_ids, student, context.within(teacher), name, validation)
            mark_written(teacher)
            _free_memory(context.device)


class FoldedTeacher:
    """The teachers of all folds as one: each reads the windows of the users that it has not seen.

    Args:
        config: the run's.
        data: the histories.
        student_folder: the plain student's, for validation targets.
        folder: the teacher's.
        device: `cpu` or `cuda`.
    """

    def __init__(self, config: RunConfig, data: PreparedData, student_folder: Path, folder: Path, device: str) -> None:
        self.config, self.data, self.device = config, data, device
        self.student_folder, self.folder = student_folder, folder
        self.fold = fold_of_users(data, config.teacher.folds, config.seed)
        self.loaded, self.read = config.teacher.folds, TokenCount()
        self.teacher = self._load(self.loaded)
        self.titles = self.teacher.titles

    @property
    def state_dim(self) -> int:
        """Width S of the user states."""
        return self.teacher.state_dim

    def export_windows(self) -> Windows:
        """Every training target once, then every validation target once."""
        return self.teacher.export_windows()

    def prompt_lengths(self, windows: Windows) -> NDArray[np.int64]:
        """The length of each window's prompt, (windows,)."""
        return self.teacher.prompt_lengths(windows)

    def readers(self, windows: Windows) -> NDArray[np.int64]:
        """Which teacher reads each window: its user's fold, or F, the plain one, for validation targets."""
        validation = windows.first_targets >= self.data.train_ends[windows.users]
        return np.where(validation, self.config.teacher.folds, self.fold[windows.users])

    def predict(
        self, windows: Windows, rows: NDArray[np.int64], full_rows: int | None = None
    ) -> tuple[PredictedKeys, Tensor, Tensor]:
        """Keys, user states (M, S) and scores (M, N + 1) of all targets of these windows, which have one reader."""
        batch, states, scores = self.reader(windows, rows).predict(windows, rows, full_rows)
        return PredictedKeys(batch.users, batch.positions), states, scores

    def trial(self, windows: Windows, rows: NDArray[np.int64]) -> object:
        """Read a batch for its time, by whichever teacher is loaded."""
        return self.teacher.trial(windows, rows)

    @property
    def growing(self) -> "FoldedGrowing":
        """Reads windows that grow, each by its own teacher."""
        return FoldedGrowing(self)

    def reader(self, windows: Windows, rows: NDArray[np.int64]) -> Teacher:
        """The teacher of these rows; one is in memory at a time."""
        wanted = np.unique(self.readers(windows.take(rows)))
        if len(wanted) != 1:
            raise ValueError(f"a batch has one reader, not {len(wanted)}")
        if int(wanted[0]) != self.loaded:
            self.loaded = int(wanted[0])
            del self.teacher
            _free_memory(self.device)
            self.teacher = self._load(self.loaded)
        return self.teacher

    def _load(self, number: int) -> Teacher:
        student, folder = self.student_folder, self.folder
        if number < self.config.teacher.folds:
            student, folder = _folders(self.folder, number)
        teacher = load_teacher(self.config, self.data, student, folder, self.device)
        teacher.read = self.read
        return teacher


class FoldedGrowing:
    """Windows that grow, each read by the teacher of its fold."""

    def __init__(self, folded: FoldedTeacher) -> None:
        self.folded = folded

    def fits(self, windows: Windows) -> NDArray[np.bool_]:
        """Which windows are the beginning of their history."""
        return self.folded.teacher.growing.fits(windows)

    def predict(self, windows: Windows, rows: NDArray[np.int64]) -> tuple[PredictedKeys, Tensor]:
        """Keys and user states (M, S) of windows of one reader."""
        return self.folded.reader(windows, rows).growing.predict(windows, rows)

    def scores(self, states: Tensor) -> Tensor:
        """The scores (M, N + 1) of user states of the teacher that read last."""
        return self.folded.teacher.scores(states)


def _free_memory(device: str) -> None:
    """Free the language model that nobody holds any more: its blocks and their forwards hold each other."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _folders(folder: Path, number: int) -> tuple[Path, Path]:
    """Where the student and the teacher of a fold are."""
    return folder / FOLDS_FOLDER / str(number) / "student", folder / FOLDS_FOLDER / str(number) / "teacher"
