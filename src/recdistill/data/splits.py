"""Where each history is cut into train, validation and test: pure functions of the histories' bounds and times."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import BoolArray, IntArray, LongArray, SplitName
from recdistill.data.streamed.columns import user_blocks

PARTS: tuple[SplitName, ...] = ("train", "validation", "test")
"""The parts of a split, in order."""


@dataclass(frozen=True)
class Ends:
    """User u's interactions before position `train[u]` are train, those before `validation[u]` validation, the rest
    test.

    Attributes:
        train: int32 (users,).
        validation: int32 (users,).
        trained: bool (users,), whether the user's train interactions are trained on or only history; None: all users'.
    """

    train: IntArray
    validation: IntArray
    trained: BoolArray | None = None

    @property
    def num_trained(self) -> IntArray:
        """Train interactions of each user that are trained on: int32 (users,)."""
        return self.train if self.trained is None else self.train * self.trained

    def take(self, users: NDArray[Any]) -> "Ends":
        """These users only."""
        return Ends(self.train[users], self.validation[users], None if self.trained is None else self.trained[users])


def leave_one_out(offsets: LongArray) -> Ends:
    """The last interaction is test, the one before it validation. Every history must have 3 interactions or more.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
    """
    lengths = np.diff(offsets).astype(np.int32)
    return Ends(lengths - 2, lengths - 1)


def global_time(offsets: LongArray, times: NDArray[Any], validation_fraction: float, test_fraction: float) -> Ends:
    """Two moments cut all histories; what happens at exactly a moment belongs to the later part.

    The moments are the times of the first interaction of the last `validation_fraction + test_fraction`, and of the
    last `test_fraction`, of all interactions in time order. Nothing in train is later than anything in validation or
    test, for all users together (no leaks across users), and so some users have no interactions in one part or another.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        times: (interactions,), ascending within each history.
        validation_fraction: share of all interactions between the moments; interactions with equal times are not
            parted.
        test_fraction: share of all interactions from the second moment on.
    """
    first, second = (
        min(round(len(times) * (1 - share)), len(times) - 1)
        for share in (validation_fraction + test_fraction, test_fraction)
    )
    moments = np.partition(times, (first, second))[[first, second]]
    return Ends(_events_before(moments[0], offsets, times), _events_before(moments[1], offsets, times))


def by_user(offsets: LongArray, parts: NDArray[np.int8]) -> Ends:
    """Whole users are train, validation or test, as the LLaRA and iLoRA papers split LastFM.

    Of a train user all interactions are trained on. Of a validation or test user the last interaction is the one
    target; those before it are its history and are not trained on, as for a newcomer whom the model meets after
    training.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        parts: int8 (users,), an index into :data:`PARTS` for each user.
    """
    lengths = np.diff(offsets).astype(np.int32)
    train, validation, test = (parts == part for part in range(len(PARTS)))
    return Ends(
        train=lengths - (validation | test).astype(np.int32), validation=lengths - test.astype(np.int32), trained=train
    )


def by_event(offsets: LongArray, parts: NDArray[np.int8]) -> Ends:
    """Each interaction is train, validation or test as its row or its file says.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        parts: int8 (interactions,), indices into :data:`PARTS`, ascending within each history.
    """
    before = (np.concatenate([[0], np.cumsum(parts < end)]) for end in (1, 2))
    train, validation = (np.diff(counts[offsets]).astype(np.int32) for counts in before)
    return Ends(train, validation)


def users_out_of_order(offsets: LongArray, times: NDArray[Any]) -> int:
    """Users of whom an interaction of an earlier part is later than one of a later part: their own future is trained
    on.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        times: (interactions,), ascending within each part of a history.
    """
    backwards = np.flatnonzero(np.diff(times) < 0) + 1
    users = np.searchsorted(offsets, backwards, side="right") - 1
    inside = backwards > offsets[users]
    return len(np.unique(users[inside]))


def train_share(ends: Ends, share: float, generator: np.random.Generator) -> Ends:
    """Train on a share of the users only; validation and test targets stay everybody's.

    The users come in an order that depends on the generator alone, so that of two shares the smaller is a part of the
    larger. Users without training targets are not counted.

    Args:
        ends: the split.
        share: of the users with training targets, above 0 and at most 1; at least one user stays.
        generator: gives the order.
    """
    candidates = np.flatnonzero(ends.num_trained >= 2)
    kept = generator.permutation(candidates)[: max(1, round(share * len(candidates)))]
    trained = np.zeros(len(ends.train), dtype=np.bool_)
    trained[kept] = True
    return replace(ends, trained=trained)


def _events_before(moment: Any, offsets: LongArray, times: NDArray[Any]) -> IntArray:
    """How many interactions of each history are earlier than `moment`."""
    found = np.zeros(len(offsets) - 1, dtype=np.int32)
    for users in user_blocks(offsets):
        bounds = offsets[users.start : users.stop + 1]
        before = np.concatenate([[0], np.cumsum(times[bounds[0] : bounds[-1]] < moment)])
        found[users] = np.diff(before[bounds - bounds[0]])
    return found
