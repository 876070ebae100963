"""Histories that nobody has, about which a teacher can be asked all the same.

A teacher's lists for the training targets are few where users are few, and a student learns them by heart. What the
teacher makes of a history can be asked of any history, though. Those here are mixed from two people's: likely enough to
ask about, and there are as many as one wants. Models have long been compressed on inputs that are not the data's own
(Buciluă, Caruana and Niculescu-Mizil, KDD 2006).
"""

import hashlib
from dataclasses import replace

import numpy as np

from recdistill.data.prepared import IntArray, PreparedData
from recdistill.errors import UserError

STREAM = 0x3ADE
"""Tells the draw from others with the same seed."""


def with_mixed_histories(data: PreparedData, count: int, length: int, seed: int) -> PreparedData:
    """The data with `count` users behind its own, whose histories are mixed from those of people that are trained on.

    Their users have train interactions alone, so nobody is validated or tested on them. The fingerprint is of all
    interactions, so that lists for these histories are never taken for those of others.

    Args:
        data: the histories.
        count: users to make up; 0 gives the data back as it is.
        length: interactions of each, at most.
        seed: of the draw; more users begin with the same ones.

    Raises:
        UserError: nobody has two interactions that are trained on.
    """
    if not count:
        return data
    rng = np.random.default_rng([seed, STREAM])
    people = np.flatnonzero(data.trained_ends >= 2)
    if not len(people):
        raise UserError("export.mixed_histories: no user has two training interactions, so there is nothing to mix")
    drawn = [_mixed(data, people, length, rng) for _ in range(count)]
    ends = np.array([len(history) for history in drawn], dtype=np.int32)
    trained = data.trained_users
    return replace(
        data,
        items=(items := np.concatenate([data.items, *drawn])),
        fingerprint=hashlib.sha256(data.fingerprint.encode() + items.tobytes()).hexdigest(),
        timestamps=np.concatenate([data.timestamps, np.zeros(ends.sum(), dtype=np.int64)]),
        offsets=np.concatenate([data.offsets, data.offsets[-1] + ends.cumsum(dtype=np.int64)]),
        train_ends=np.concatenate([data.train_ends, ends]),
        validation_ends=np.concatenate([data.validation_ends, ends]),
        trained_users=None if trained is None else np.concatenate([trained, np.ones(count, dtype=np.bool_)]),
    )


def _mixed(data: PreparedData, people: np.ndarray, length: int, rng: np.random.Generator) -> IntArray:
    """A stretch of each of two people's train interactions, shuffled into one another, each in its own order.

    An item that both chose stands where it comes first.
    """
    stretches = []
    for user in rng.choice(people, 2, replace=len(people) < 2):
        end = int(data.trained_ends[user])
        events = min(end, length // 2 + 1)
        start = int(rng.integers(0, end - events + 1))
        stretches.append(data.history(user, end)[start : start + events])
    whose = rng.permutation(np.repeat([0, 1], [len(stretch) for stretch in stretches]))
    mixed = np.empty(len(whose), dtype=np.int32)
    for person, stretch in enumerate(stretches):
        mixed[whose == person] = stretch
    _, first = np.unique(mixed, return_index=True)
    return mixed[np.sort(first)][:length]
