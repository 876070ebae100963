"""Kinds of a teacher, each with what it alone has. :attr:`recdistill.config.TeacherConfig.chosen` makes one of the keys
under `teacher`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LanguageModel:
    """A language model with gated experts; it alone has blocks to compile and can be trained in folds."""

    folds: int
    compiled: bool


@dataclass(frozen=True)
class SecondStudent:
    """A second student of another seed, the control. It is trained as the first and has no settings of its own."""


@dataclass(frozen=True)
class NoTeacher:
    """Nothing is trained, exported or distilled."""


ChosenTeacher = LanguageModel | SecondStudent | NoTeacher
