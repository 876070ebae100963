"""What the other libraries are given to train on: the events that ours is trained on, and no others."""

import numpy as np

from recdistill.data.prepared import LongArray, PreparedData


def train_events(data: PreparedData) -> tuple[LongArray, LongArray]:
    """User and position of every event that is trained on, users in order: int64 (events,) each."""
    counts = data.trained_ends.astype(np.int64)
    users = np.repeat(np.arange(data.num_users), counts)
    return users, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def refuse_what_recbole_cannot_split(data: PreparedData) -> None:
    """RecBole is given all events and splits them itself: the last two of each user are not trained on, all others are.

    Raises:
        SystemExit: the data are split in another way, or some users are not trained on.
    """
    if data.trained_users is not None:
        raise SystemExit("RecBole trains on all users: prepare with data.train_user_fraction 1, without a split column")
    if not (np.diff(data.offsets) - data.train_ends == 2).all():
        raise SystemExit(
            "RecBole's split takes the last two events of each user: prepare with data.split leave_one_out"
        )
