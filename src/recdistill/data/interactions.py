"""Who took what and when, and which of these events are kept: rating threshold, repeated events, k-core."""

from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from recdistill.config import DataConfig
from recdistill.data.about import EventCounts
from recdistill.data.prepared import IntArray
from recdistill.data.streamed.columns import counts_of
from recdistill.errors import UserError

EVENT_SPLITS = ("column_events", "files")
"""Splits that name the part of each interaction."""

NUM_PARTS = 3
"""Train, validation and test."""


@dataclass(frozen=True)
class Interactions:
    """Events as arrays of one length, with users and items as indices into their external ids, from 0.

    Attributes:
        users: int32 (interactions,), indices into `user_ids`.
        items: int32 (interactions,), indices into `item_ids`.
        times: int64 or float64 (interactions,), seconds; any number that grows with time will do.
        ratings: float64 (interactions,), or None where no rating is asked for.
        user_ids: external ids in natural order.
        item_ids: external ids in natural order.
        parts: int8 (interactions,), indices into :data:`recdistill.data.splits.PARTS`, or None where no column is asked
            for.
    """

    users: IntArray
    items: IntArray
    times: NDArray[Any]
    ratings: NDArray[np.float64] | None
    user_ids: list[str]
    item_ids: list[str]
    parts: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        """Count the interactions."""
        return len(self.users)

    def take(self, rows: NDArray[Any]) -> "Interactions":
        """The interactions `rows` (a mask or indices, in that order); ids as they are."""
        users, items, times = self.users[rows], self.items[rows], self.times[rows]
        ratings, parts = (None if column is None else column[rows] for column in (self.ratings, self.parts))
        return replace(self, users=users, items=items, times=times, ratings=ratings, parts=parts)

    def counts(self) -> EventCounts:
        """`{"events", "users", "items"}`: how many there are, ids without interactions not counted."""
        users, items = (np.count_nonzero(counts_of(column)) for column in (self.users, self.items))
        return {"events": len(self), "users": int(users), "items": int(items)}


def select(interactions: Interactions, config: DataConfig) -> tuple[Interactions, dict[str, EventCounts]]:
    """Keep what the configuration keeps, each user's interactions together and in time order.

    In this order: `min_rating`, time order, `duplicates`, k-core.

    Returns:
        The interactions kept, users and items numbered anew without gaps, and the counts after each step.

    Raises:
        UserError: nothing is left.
    """
    steps = {"read": interactions.counts()}
    if config.min_rating is not None:
        assert interactions.ratings is not None
        interactions = interactions.take(interactions.ratings >= config.min_rating)
        steps["min_rating"] = interactions.counts()
    parts = interactions.parts if config.split in EVENT_SPLITS else None
    interactions = interactions.take(time_order(interactions.users, interactions.times, parts))
    match config.duplicates:
        case "keep":
            pass
        case "first" | "last":
            interactions = interactions.take(first_or_last(interactions, config.duplicates == "last"))
            steps["duplicates"] = interactions.counts()
        case _:
            assert_never(config.duplicates)
    kept = k_core(interactions.users, interactions.items, config.min_user_events, config.min_item_events)
    interactions = interactions.take(kept)
    steps["k_core"] = interactions.counts()
    if not len(interactions):
        raise nothing_left(steps, config)
    return without_gaps(interactions), steps


def time_order(users: IntArray, times: NDArray[Any], parts: NDArray[np.int8] | None = None) -> NDArray[np.int64]:
    """Row numbers sorted by user, then time; interactions of one user at one time stay in the order of the file.

    With `parts`, a user's train interactions come first, then validation, then test, each in time order.

    Many data sets have such ties (half of all consecutive interactions in MovieLens-100K), so the rule matters: two
    tools that break them differently train on and test with different items.
    """
    if not len(users):
        return np.empty(0, dtype=np.int64)
    first, span = int(users.min()), int(times.max()) - int(times.min()) + 1
    kinds = 1 if parts is None else NUM_PARTS
    if times.dtype != np.int64 or (int(users.max()) - first + 1) * kinds * span >= 2**63:
        return np.lexsort((times, users) if parts is None else (times, parts, users))
    groups = users.astype(np.int64) - first
    groups = groups if parts is None else groups * kinds + parts
    return stable_order(groups * span + (times - times.min()))


def stable_order(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers sorted by key, rows with equal keys in their order: as a stable argsort, in a third of its time.

    Where key and row number fit into 63 bits together, one plain sort of both in one number is all that is needed.
    """
    if not len(keys):
        return np.empty(0, dtype=np.int64)
    low, bits = int(keys.min()), (len(keys) - 1).bit_length()
    if (int(keys.max()) - low).bit_length() + bits > 63:
        return np.argsort(keys, kind="stable")
    packed = ((keys - low) << bits) | np.arange(len(keys), dtype=np.int64)
    packed.sort()
    return packed & ((1 << bits) - 1)


def first_or_last(interactions: Interactions, last: bool) -> NDArray[np.bool_]:
    """Mask of the first (or last) interaction of each user with each item, for interactions in time order."""
    pairs = interactions.users.astype(np.int64) * len(interactions.item_ids) + interactions.items
    order = stable_order(pairs)
    changes = pairs[order][1:] != pairs[order][:-1]
    kept = np.zeros(len(pairs), dtype=bool)
    kept[order] = np.append(changes, True) if last else np.insert(changes, 0, True)
    return kept


def k_core(users: IntArray, items: IntArray, min_user_events: int, min_item_events: int) -> NDArray[np.bool_]:
    """Mask of the largest set of interactions in which every user and every item has at least so many of them."""
    kept = np.arange(len(users))
    while len(kept):
        enough_user = np.bincount(users[kept]) >= min_user_events
        enough_item = np.bincount(items[kept]) >= min_item_events
        stay = enough_user[users[kept]] & enough_item[items[kept]]
        if stay.all():
            break
        kept = kept[stay]
    mask = np.zeros(len(users), dtype=bool)
    mask[kept] = True
    return mask


def user_parts(interactions: Interactions) -> NDArray[np.int8]:
    """The one part of the split that each user belongs to: int8 (users,).

    Raises:
        UserError: a user's interactions belong to different parts.
    """
    assert interactions.parts is not None
    parts = np.zeros(len(interactions.user_ids), dtype=np.int8)
    parts[interactions.users] = interactions.parts
    other = parts[interactions.users] != interactions.parts
    if other.any():
        user = interactions.user_ids[interactions.users[np.argmax(other)]]
        raise UserError(
            f"data.split: column splits whole users, but interactions of user {user!r} belong to different parts "
            "(column_events takes each interaction's own)"
        )
    return parts


def without_gaps(interactions: Interactions) -> Interactions:
    """The same interactions, with ids that have none left out; the order of the others is kept."""
    users, user_ids = _renumber(interactions.users, interactions.user_ids)
    items, item_ids = _renumber(interactions.items, interactions.item_ids)
    return replace(interactions, users=users, items=items, user_ids=user_ids, item_ids=item_ids)


def _renumber(column: IntArray, ids: list[str]) -> tuple[IntArray, list[str]]:
    present = counts_of(column, len(ids)) > 0
    numbers = (np.cumsum(present) - 1).astype(np.int32)
    return numbers[column], [ids[index] for index in np.flatnonzero(present)]


def nothing_left(steps: dict[str, EventCounts], config: DataConfig) -> UserError:
    """The error where the filters leave nothing, with what each of them left."""
    return UserError(f"no interactions are left after filtering: {_account(steps, config)}")


def _account(steps: dict[str, EventCounts], config: DataConfig) -> str:
    """What each step left, in words that name the settings."""
    settings = {
        "min_rating": f"data.min_rating {config.min_rating}",
        "duplicates": f"data.duplicates {config.duplicates}",
        "k_core": f"data.min_user_events {config.min_user_events} and data.min_item_events {config.min_item_events}",
    }
    parts = [f"{counts['events']} after {settings[step]}" for step, counts in steps.items() if step in settings]
    return f"{steps['read']['events']} read, {', '.join(parts)}"
