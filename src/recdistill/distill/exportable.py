"""What the export asks of a teacher: windows and predictions; reading histories that grow is a capability of some."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import LongArray
from recdistill.data.windows import Windows
from recdistill.measure.evidence import TokenCount


class Keys(Protocol):
    """The keys of M predictions."""

    @property
    def users(self) -> Tensor:
        """Integers (M,)."""
        ...

    @property
    def positions(self) -> Tensor:
        """Integers (M,)."""
        ...


class Growing(Protocol):
    """Reads histories item by item, with what was read kept for the next one."""

    def fits(self, windows: Windows) -> NDArray[np.bool_]:
        """Which windows begin their history, so that a longer one is the same with more items appended."""
        ...

    def predict(self, windows: Windows, rows: LongArray) -> tuple[Keys, Tensor]:
        """Keys and user states (M, S) of windows that fit."""
        ...

    def scores(self, states: Tensor) -> Tensor:
        """The scores (M, N + 1) of these user states."""
        ...


class Exportable(Protocol):
    """A teacher: what it is asked for, what it predicts, and what it has read."""

    @property
    def state_dim(self) -> int:
        """Width S of the user states."""
        ...

    @property
    def read(self) -> TokenCount:
        """What has been read of prompts; each prediction counts into it."""
        ...

    @property
    def growing(self) -> Growing | None:
        """Reads histories that grow with a cache; None: this teacher has none."""
        ...

    @property
    def inputs_per_prompt(self) -> int | None:
        """Inputs of a batch at most for each prompt that it may have; None: as many as its prompts have."""
        ...

    def export_windows(self) -> Windows:
        """Windows in which every training target and every validation target stands exactly once."""
        ...

    def prompt_lengths(self, windows: Windows) -> NDArray[np.int64]:
        """The length of each window's prompt, (windows,)."""
        ...

    def readers(self, windows: Windows) -> LongArray:
        """A number for each window, (windows,): those of one batch have the same, and each number's batches stand
        together, since another number may be another model to load.
        """
        ...

    def predict(self, windows: Windows, rows: LongArray, full_rows: int | None = None) -> tuple[Keys, Tensor, Tensor]:
        """Keys, user states (M, S) and scores (M, N + 1) of all targets of these windows.

        A full batch has `full_rows` rows, where that matters for how it is run.
        """
        ...

    def trial(self, windows: Windows, rows: LongArray) -> object:
        """Read a batch for its time alone: as :meth:`predict`, but it counts for nothing."""
        ...
