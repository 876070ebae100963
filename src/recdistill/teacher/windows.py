"""Which windows of the histories a teacher reads: windows that overlap, or streams (`teacher.windows: sliding`)."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from recdistill.config import TeacherConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.streams import export_streams, target_streams, training_streams
from recdistill.data.windows import Windows, export_windows, history_windows, training_windows
from recdistill.errors import UserError


class ReadWindows(ABC):
    """The windows that a teacher reads of one prepared data set.

    Attributes:
        inputs_per_prompt: inputs of a batch at most for each prompt that it may have; None: as many as its prompts
            have.
    """

    inputs_per_prompt: int | None = None

    def __init__(self, config: TeacherConfig, data: PreparedData) -> None:
        self.config, self.data = config, data

    @abstractmethod
    def training(self) -> Windows:
        """Windows in which every training target stands once."""

    @abstractmethod
    def export(self) -> Windows:
        """Windows in which every training target and every validation target stands once."""

    @abstractmethod
    def longest(self) -> Windows:
        """Windows none of which is shorter than what is read of the same history at any time."""

    @abstractmethod
    def of_targets(self, targets: Targets) -> Windows:
        """What is read to predict each target alone."""

    @abstractmethod
    def shown(self, windows: Windows) -> NDArray[np.int64]:
        """Items of each window that stand in its prompt, (windows,)."""

    @abstractmethod
    def shorter_by(self) -> str:
        """The settings that make prompts shorter, for messages."""


class Overlapping(ReadWindows):
    """Windows of up to `length` inputs, with a target after every item or one window for each target."""

    def __init__(self, config: TeacherConfig, data: PreparedData, length: int) -> None:
        super().__init__(config, data)
        self.length = length

    def training(self) -> Windows:
        """Windows in which every training target stands once; with windows `last`, each user's latest ones."""
        if self.config.targets == "every":
            if self.config.windows == "sliding":
                raise ValueError("streams do not overlap")
            return training_windows(self.data, self.length, self.config.windows)
        return history_windows(self.data, self.data.targets("train"), self.length)

    def export(self) -> Windows:
        """Every training target once, then every validation target once."""
        return export_windows(self.data, self.length, self.config.targets == "every")

    def longest(self) -> Windows:
        """Those of the export."""
        return self.export()

    def of_targets(self, targets: Targets) -> Windows:
        """The items before each target."""
        return history_windows(self.data, targets, self.length)

    def shown(self, windows: Windows) -> NDArray[np.int64]:
        """The latest `teacher.history_length` items at most."""
        return np.minimum(windows.lengths.astype(np.int64), self.config.history_length)

    def shorter_by(self) -> str:
        """Fewer items of a history."""
        return "teacher.history_length"


class Streams(ReadWindows):
    """Histories as sequences in which each event is read once; see :mod:`recdistill.data.streams`.

    Attributes:
        pieces: inputs of a stream at most, and items that attention looks back over.
        reach: inputs before its own on which a state can depend: each block looks back over a window.
    """

    def __init__(self, config: TeacherConfig, data: PreparedData, blocks: int) -> None:
        super().__init__(config, data)
        self.pieces = config.stream_length, config.history_length
        self.inputs_per_prompt = config.history_length
        self.reach = blocks * (config.history_length - 1)

    def training(self) -> Windows:
        """Streams in which every training target stands once."""
        return training_streams(self.data, *self.pieces)

    def export(self) -> Windows:
        """Training and validation targets together, unless a teacher of a fold reads the one and the plain teacher the
        other.
        """
        return export_streams(self.data, *self.pieces, self.reach, together=not self.config.folds)

    def longest(self) -> Windows:
        """What is exported, from the start of each stream, where positions count from."""
        return export_streams(self.data, *self.pieces, len(self.data.items), together=True)

    def of_targets(self, targets: Targets) -> Windows:
        """What a stream shows of the history before each target."""
        return target_streams(self.data, targets, *self.pieces, self.reach)

    def shown(self, windows: Windows) -> NDArray[np.int64]:
        """All of them."""
        return windows.lengths.astype(np.int64)

    def shorter_by(self) -> str:
        """Shorter streams."""
        return "teacher.stream_length"


def check_prompt_lengths(windows: ReadWindows, needed: int, places: int | None) -> None:
    """Refuse prompts that no batch holds or that the language model cannot place.

    Args:
        windows: that are read.
        needed: tokens of the longest prompt.
        places: tokens that the language model can place; None: any number.

    Raises:
        UserError: names the settings that make prompts shorter.
    """
    config, key = windows.config, windows.shorter_by()
    tokens, is_stream = config.train.batch_tokens, isinstance(windows, Streams)
    if tokens is not None and needed > tokens:
        raise UserError(
            f"teacher.train.batch_tokens: {tokens} is less than the longest prompt, {needed} tokens; raise it, or "
            f"lower {key}"
        )
    if places is not None and needed > places:
        raise UserError(
            f"{key}: {'streams' if is_stream else 'prompts'} of up to {needed} tokens do not fit this language model's "
            f"{places}; lower {key}{'' if is_stream else ' or teacher.candidates'}"
        )
