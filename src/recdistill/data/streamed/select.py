"""Filters and order of interactions in files: what :func:`recdistill.data.interactions.select` does in memory.

Users are cut into groups of about `columns.BLOCK_ROWS` interactions. One pass brings each
group's interactions together, in file order; then each group is sorted and freed of repetitions by itself, which no
other group has a part in. The k-core is found by counts alone.
"""

import numpy as np
from numpy.typing import NDArray

from recdistill.config import DataConfig
from recdistill.data.about import EventCounts
from recdistill.data.interactions import EVENT_SPLITS, Interactions, first_or_last, nothing_left, time_order
from recdistill.data.streamed import columns
from recdistill.data.streamed.columns import Column, added
from recdistill.data.streamed.read import StoredEvents, event_counts

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def select_stored(
    events: StoredEvents, steps: dict[str, EventCounts], config: DataConfig
) -> tuple[Interactions, dict[str, EventCounts]]:
    """As :func:`recdistill.data.interactions.select`, of interactions whose ratings have been looked at.

    Args:
        events: the interactions; their files are removed.
        steps: counts so far, which are added to.
        config: what is kept.

    Returns:
        The interactions kept, their columns memory-mapped.

    Raises:
        UserError: nothing is left, or the disk is full.
    """
    starts = _groups(events.counts[0])
    grouped = _group(events, starts)
    counts = _sort(grouped, starts, events, config)
    if config.duplicates != "keep":
        steps["duplicates"] = event_counts(*counts)
    kept, counts = _k_core(grouped, counts, config)
    steps["k_core"] = event_counts(*counts)
    if not counts[0].sum():
        raise nothing_left(steps, config)
    return _without_gaps(grouped, kept, counts, events), steps


def _groups(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """First users of the groups, then the number of users; a user with more interactions than a group has one alone."""
    ends, starts = np.cumsum(counts), [0]
    while starts[-1] < len(counts):
        before = int(ends[starts[-1] - 1]) if starts[-1] else 0
        following = int(np.searchsorted(ends, before + columns.BLOCK_ROWS, side="right"))
        starts.append(max(following, starts[-1] + 1))
    return np.array(starts)


def _group(events: StoredEvents, starts: NDArray[np.int64]) -> list[Column]:
    """The columns with each group's rows together, groups in order, rows of a group in file order."""
    rows_before = np.concatenate([[0], np.cumsum(events.counts[0])])
    places = rows_before[starts[:-1]].tolist()  # where the next row of each group goes
    made = [Column(column.path.with_name(f"grouped-{column.path.name}"), column.dtype) for column in events.columns]
    for parts in zip(*(column.blocks() for column in events.columns), strict=True):
        groups = (np.searchsorted(starts, parts[0], side="right") - 1).astype(
            np.uint16 if len(starts) < 2**16 else np.int64
        )
        order = np.argsort(groups, kind="stable")  # by radix, where there are less than 65,536 groups
        there, firsts = np.unique(groups[order], return_index=True)
        bounds = [*firsts.tolist(), len(order)]
        sorted_parts = [part[order] for part in parts]
        for at, group in enumerate(there.tolist()):
            rows = slice(bounds[at], bounds[at + 1])
            for column, part in zip(made, sorted_parts, strict=True):
                column.write(places[group], part[rows])
            places[group] += rows.stop - rows.start
    for column, old in zip(made, events.columns, strict=True):
        column.rows = old.rows
        old.remove()
    return made


def _sort(grouped: list[Column], starts: NDArray[np.int64], events: StoredEvents, config: DataConfig) -> Counts:
    """Put each group in order without its repetitions, in place; counts of what is left."""
    rows_before = np.concatenate([[0], np.cumsum(events.counts[0])])[starts]
    counts = np.zeros(len(events.user_ids), dtype=np.int64), np.zeros(len(events.item_ids), dtype=np.int64)
    written = 0
    for start, stop in zip(rows_before[:-1].tolist(), rows_before[1:].tolist(), strict=True):
        if start == stop:
            continue
        users, items, times, *parts = (column.read(start, stop) for column in grouped)
        group = Interactions(users, items, times, None, events.user_ids, events.item_ids, parts[0] if parts else None)
        in_order = group.parts if config.split in EVENT_SPLITS else None
        group = group.take(time_order(users, times, in_order))
        if config.duplicates != "keep":
            group = group.take(first_or_last(group, config.duplicates == "last"))
        for column, values in zip(grouped, (group.users, group.items, group.times, group.parts), strict=False):
            column.write(written, values)  # type: ignore[arg-type]
        written += len(group)
        added(counts[0], np.bincount(group.users))
        added(counts[1], np.bincount(group.items))
    for column in grouped:
        column.rows = written
    return counts


def _k_core(grouped: list[Column], counts: Counts, config: DataConfig) -> tuple[NDArray[np.bool_], Counts]:
    """Mask of the interactions of the k-core, and their counts."""
    users, items = grouped[:2]
    kept = np.ones(users.rows, dtype=np.bool_)
    while counts[0].any():
        enough = counts[0] >= config.min_user_events, counts[1] >= config.min_item_events
        if all((good | (found == 0)).all() for good, found in zip(enough, counts, strict=True)):
            break
        counts, start = (np.zeros_like(counts[0]), np.zeros_like(counts[1])), 0
        for some_users, some_items in zip(users.blocks(), items.blocks(), strict=True):
            mask = kept[start : start + len(some_users)]
            mask &= enough[0][some_users] & enough[1][some_items]
            added(counts[0], np.bincount(some_users[mask]))
            added(counts[1], np.bincount(some_items[mask]))
            start += len(mask)
    return kept, counts


def _without_gaps(grouped: list[Column], kept: NDArray[np.bool_], counts: Counts, events: StoredEvents) -> Interactions:
    """What is kept, numbered anew; the files of the rest are removed."""
    numbers = [(np.cumsum(found > 0) - 1).astype(np.int32) for found in counts]
    made = [Column(column.path.with_name(f"kept-{column.path.name}"), column.dtype) for column in grouped]
    for place, (column, old) in enumerate(zip(made, grouped, strict=True)):
        start = 0
        for values in old.blocks():
            some = values[kept[start : start + len(values)]]
            column.append(numbers[place][some] if place < 2 else some)
            start += len(values)
        old.remove()
    ids = [
        [names[index] for index in np.flatnonzero(found)]
        for names, found in zip((events.user_ids, events.item_ids), counts, strict=True)
    ]
    users, items, times, *parts = (column.mapped() for column in made)
    return Interactions(users, items, times, None, ids[0], ids[1], parts[0] if parts else None)
