"""Where each history is cut into train, validation and test: pure functions of the histories' bounds and times."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray, LongArray


@dataclass(frozen=True)
class Ends:
    """User u's events before position `train[u]` are train, those before `validation[u]` validation, the rest test.

    Both are int32 (users,).
    """

    train: IntArray
    validation: IntArray

    def take(self, users: NDArray[Any]) -> "Ends":
        """These users only."""
        return Ends(self.train[users], self.validation[users])


def leave_one_out(offsets: LongArray) -> Ends:
    """The last event is test, the one before it validation. Every history must have 3 events or more.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
    """
    lengths = np.diff(offsets).astype(np.int32)
    return Ends(lengths - 2, lengths - 1)


def global_time(offsets: LongArray, times: NDArray[Any], validation_fraction: float, test_fraction: float) -> Ends:
    """Two moments cut all histories; what happens at exactly a moment belongs to the later part.

    The moments are the times of the first event of the last `validation_fraction + test_fraction`, and of the last
    `test_fraction`, of all events in time order. Nothing in train is later than anything in validation or test, for all
    users together (no leaks across users), and so some users have no events in one part or another.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        times: (events,), ascending within each history.
        validation_fraction: share of all events between the moments; events with equal times are not parted.
        test_fraction: share of all events from the second moment on.
    """
    first, second = (
        min(round(len(times) * (1 - share)), len(times) - 1)
        for share in (validation_fraction + test_fraction, test_fraction)
    )
    moments = np.partition(times, (first, second))[[first, second]]
    return Ends(_events_before(moments[0], offsets, times), _events_before(moments[1], offsets, times))


def _events_before(moment: Any, offsets: LongArray, times: NDArray[Any]) -> IntArray:
    """How many events of each history are earlier than `moment`."""
    before = np.concatenate([[0], np.cumsum(times < moment)])
    return np.diff(before[offsets]).astype(np.int32)
