"""Read, check, filter, number, split, and write once what every later step memory-maps."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from recdistill.config import DataConfig, PlantedConfig
from recdistill.data.about import About, Statistics
from recdistill.data.counts import tell_counts
from recdistill.data.event_parts import split_by_event
from recdistill.data.frames import Frames
from recdistill.data.history_order import shuffled
from recdistill.data.interactions import Interactions, user_parts, without_gaps
from recdistill.data.limit import sample_users
from recdistill.data.matching import match_items, require_matches
from recdistill.data.planted import achievable
from recdistill.data.prepared import TRAINED_FILE, LongArray, PreparedData
from recdistill.data.source import Source
from recdistill.data.sources import open_source
from recdistill.data.splits import PARTS, Ends, by_user, global_time, leave_one_out, train_share
from recdistill.data.streamed.choose import read_interactions, scratch_folder
from recdistill.data.streamed.columns import converted, counts_of, user_blocks
from recdistill.data.texts import item_texts
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.storage.files import sha256_of, write_array, write_json

SHARE_STREAM, ORDER_STREAM = 1, 2
"""Keep the draws of `data.train_user_fraction` and `data.history_order` apart from that of `data.limit_rows`, which has
the same seed."""


def prepare(config: DataConfig, seed: int, context: RunContext, frames: Frames | None = None) -> PreparedData:
    """Prepare the interactions and tell the counts; nothing is written before all of it is known to be good.

    Users are numbered 0..U-1 and items 1..N by the natural order of their external ids, which carries no information on
    popularity or time. With `data.limit_rows`, whole users are sampled after the split, so that the moments of
    `global_time` are those of all interactions; items that nobody is left with are dropped from the catalog. The share
    of users that `data.train_user_fraction` trains on is drawn after that and drops nothing, and so is the order of
    `data.history_order: shuffled`: runs with and without it have the same targets and can be compared.

    Writes to the context's folder: the arrays of :class:`PreparedData` (`.npy`), `catalog.json` (titles, external ids
    and, where they are more than the titles, texts of the items), `users.json` (external ids of the users), `data.json`
    (fingerprints, settings, counts of every step, and which items have titles).

    Args:
        config: what to read and what to keep.
        seed: of the samples that `limit_rows` and `train_user_fraction` take, and of a shuffled order.
        context: its folder is written to; its profiler counts the phases `load data`, `filter`, `split` and `write`.
        frames: what is read with `data.source: frames`.

    Returns:
        The prepared data, memory-mapped.

    Raises:
        UserError: anything wrong with the files, no item known to the items' file, or nothing left to train or to test
            on.
    """
    with scratch_folder(context.folder) as scratch:
        _prepare(config, seed, context, frames, scratch)
    return PreparedData.load(context.folder)


def _prepare(config: DataConfig, seed: int, context: RunContext, frames: Frames | None, scratch: Path) -> None:
    """See :func:`prepare`; `scratch` takes what does not fit into memory."""
    profiler = context.profiler
    with profiler.phase("load data"):
        source = open_source(config, frames)
        rows = source.read_items()
        found = read_interactions(source, config, scratch)
        require_matches(found.item_ids, rows)
    with profiler.phase("filter"):
        interactions, steps = found.select(config)
        del found
    with profiler.phase("split"):
        ends = split(interactions, config)
        if config.limit_rows is not None:
            interactions, ends = _limit(interactions, ends, config.limit_rows, seed)
            steps["limit_rows"] = interactions.counts()
        if config.train_user_fraction < 1:
            ends = train_share(ends, config.train_user_fraction, np.random.default_rng([seed, SHARE_STREAM]))
        item_ids = ["", *interactions.item_ids]
        titles = ["", *(rows.titles.get(item_id, "") for item_id in interactions.item_ids)]
        texts = item_texts(item_ids, titles, rows.texts) if rows.texts else None
        matches = match_items(interactions.item_ids, rows)
        data = _assemble(interactions, ends, (item_ids, titles, texts), _filters(config, seed), config)
        if config.history_order == "shuffled":
            data = _shuffled(data, seed)
        targets = _count_targets(data, config)
    with profiler.phase("write"):
        kept = interactions.counts()
        statistics: Statistics = {
            "events": kept["events"],
            "users": kept["users"],
            "items": kept["items"],
            "targets": targets,
            "titles_missing": matches["items"] - matches["titled"],
            "tied_events": _count_ties(data),
        }
        if source.skipped:
            statistics["bad_rows"] = sum(source.skipped.values())
        if ends.trained is not None:
            statistics["trained_users"] = int(np.count_nonzero(data.trained_ends >= 2))
        about: About = {
            "fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "source": config.source,
            "settings": asdict(config),
            "seed": seed,
            "filters": steps,
            "statistics": statistics,
            "titles": matches,
            "bad_rows": source.skipped or {},
        }
        if isinstance(rule := config.chosen, PlantedConfig):
            about["achievable"] = {name: achievable(rule, data, data.targets(name)) for name in ("validation", "test")}
        _write(data, interactions.user_ids, about, context.folder)
    tell_counts(about)


def source_fingerprint(config: DataConfig, frames: Frames | None = None) -> str:
    """Names the configuration's `data` section and the contents of the files or frames it reads, without preparing
    them. Where
    the files lie is no part of it.

    Raises:
        UserError: a file or column is missing.
    """
    source = open_source(config, frames)
    digest = hashlib.sha256(_json(asdict(config.without_paths())))
    for path in source.files:
        digest.update(sha256_of(path).encode())
    if isinstance(source, Source) and source.frames_digest:
        digest.update(source.frames_digest.encode())
    if source.outside:
        digest.update(_json(source.outside))
    return digest.hexdigest()


def split(interactions: Interactions, config: DataConfig) -> Ends:
    """Cut the histories as `data.split` says."""
    bounds = _offsets(interactions)
    if config.split == "leave_one_out":
        return leave_one_out(bounds)
    if config.split == "column":
        return by_user(bounds, user_parts(interactions))
    if config.split == "column_events" or config.split == "files":
        return split_by_event(bounds, interactions, config)
    if config.split == "global_time":
        return global_time(bounds, interactions.times, config.validation_fraction, config.test_fraction)
    assert_never(config.split)


def _limit(interactions: Interactions, ends: Ends, limit: int, seed: int) -> tuple[Interactions, Ends]:
    """A sample of whole users with their ends."""
    users = sample_users(ends.num_trained, limit, np.random.default_rng(seed))
    sampled = interactions.take(np.isin(interactions.users, users))
    return without_gaps(sampled), ends.take(users)


def _assemble(
    interactions: Interactions,
    ends: Ends,
    catalog: tuple[list[str], list[str], list[str] | None],
    filters: dict[str, str | float | None],
    config: DataConfig,
) -> PreparedData:
    """The prepared form with its fingerprints. Only here, after sorting, do times lose their fractions of a second.

    Args:
        interactions: the interactions kept.
        ends: their split.
        catalog: external ids, titles and texts (None: the titles) of the padding and the items.
        filters: see :func:`_filters`.
        config: how the split was made.
    """
    item_ids, titles, texts = catalog
    items = converted(interactions.items, np.int32, lambda numbers: numbers + np.int32(1), "numbered")
    timestamps = converted(interactions.times, np.int64, np.floor, "seconds")
    bounds = _offsets(interactions)
    how: dict[str, str | float] = {"split": config.split}
    if config.split == "global_time":
        how |= {"validation_fraction": config.validation_fraction, "test_fraction": config.test_fraction}
    return PreparedData(
        items=items,
        timestamps=timestamps,
        offsets=bounds,
        train_ends=ends.train,
        validation_ends=ends.validation,
        titles=titles,
        item_ids=item_ids,
        # What is not used leaves no trace, so that it does not make older prepared data other data.
        fingerprint=_digest(
            [items, timestamps, bounds],
            [interactions.user_ids, item_ids, titles, filters] + ([] if texts is None else [texts]),
        ),
        split_fingerprint=_digest(
            [ends.train, ends.validation] + ([] if ends.trained is None else [ends.trained]), how
        ),
        trained_users=ends.trained,
        item_texts=texts,
    )


def _shuffled(data: PreparedData, seed: int) -> PreparedData:
    """The data with training interactions in a random order, which its split's fingerprint tells."""
    items = shuffled(data.items, data.offsets, data.train_ends, np.random.default_rng([seed, ORDER_STREAM]))
    return replace(data, items=items, split_fingerprint=_digest([items], data.split_fingerprint))


def _filters(config: DataConfig, seed: int) -> dict[str, str | float | None]:
    """The settings that decide which interactions are kept."""
    names = ("min_rating", "min_user_events", "min_item_events", "duplicates", "limit_rows")
    filters: dict[str, str | float | None] = {name: getattr(config, name) for name in names}
    return filters | ({"seed": seed} if config.limit_rows is not None else {})


def _count_targets(data: PreparedData, config: DataConfig) -> dict[str, int]:
    """Targets of each split.

    Raises:
        UserError: a split has none.
    """
    counts: dict[str, int] = {name: data.count_targets(name) for name in PARTS}
    for name, count in counts.items():
        if not count:
            settings = ["data.split", "data.min_user_events"]
            if config.split == "global_time":
                settings = ["data.split", "data.validation_fraction", "data.test_fraction"]
            settings += ["data.limit_rows"] if config.limit_rows is not None else []
            shown = ", ".join(f"{key} {getattr(config, key.removeprefix('data.'))}" for key in settings)
            raise UserError(f"no {name} targets are left of {data.num_users} users ({shown})")
    return counts


def _count_ties(data: PreparedData) -> int:
    """Interactions at the same time as the user's interaction before: their order is the file's."""
    ties = 0
    for users in user_blocks(data.offsets):
        bounds = data.offsets[users.start : users.stop + 1] - data.offsets[users.start]
        same = np.diff(data.timestamps[data.offsets[users.start] : data.offsets[users.stop]]) == 0
        same[bounds[1:-1] - 1] = False
        ties += int(np.count_nonzero(same))
    return ties


def _write(data: PreparedData, user_ids: list[str], about: About, folder: Path) -> None:
    for name in ("items", "timestamps", "offsets", "train_ends", "validation_ends"):
        write_array(folder / f"{name}.npy", getattr(data, name))
    if data.trained_users is not None:
        write_array(folder / TRAINED_FILE, data.trained_users)
    texts = {} if data.item_texts is None else {"texts": data.item_texts}
    write_json(folder / "catalog.json", {"item_ids": data.item_ids, "titles": data.titles} | texts)
    write_json(folder / "users.json", user_ids)
    write_json(folder / "data.json", about)


def _offsets(interactions: Interactions) -> LongArray:
    counts = counts_of(interactions.users, len(interactions.user_ids))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _digest(arrays: list[NDArray[Any]], values: Any) -> str:
    """SHA-256 over arrays and plain values."""
    digest = hashlib.sha256(_json(values))
    for array in arrays:
        digest.update(_json([str(array.dtype), array.shape]))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
