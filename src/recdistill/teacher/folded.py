"""The teachers of all folds as one, see :mod:`recdistill.training.folds`: each reads for the users it has not seen."""

import gc
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import Windows
from recdistill.errors import UserError
from recdistill.measure.evidence import TokenCount
from recdistill.teacher.predictions import PredictedKeys
from recdistill.teacher.teacher import Teacher, load_teacher

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

    @property
    def inputs_per_prompt(self) -> int | None:
        """As the plain teacher's."""
        return self.teacher.inputs_per_prompt

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
            free_memory(self.device)
            self.teacher = self._load(self.loaded)
        return self.teacher

    def _load(self, number: int) -> Teacher:
        student, folder = self.student_folder, self.folder
        if number < self.config.teacher.folds:
            student, folder = folders_of(self.folder, number)
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


def free_memory(device: str) -> None:
    """Free the language model that nobody holds any more: its blocks and their forwards hold each other."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def folders_of(folder: Path, number: int) -> tuple[Path, Path]:
    """Where the student and the teacher of a fold are."""
    return folder / FOLDS_FOLDER / str(number) / "student", folder / FOLDS_FOLDER / str(number) / "teacher"
