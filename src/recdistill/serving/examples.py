"""Training users of a run to look at: a history, the item that came next, and what the teacher listed in its place.

A bundle holds no histories of anybody, so there are examples only where a run is served.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recdistill.data.catalog import Catalog
from recdistill.data.prepared import PreparedData
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.steps import SPECS
from recdistill.storage.run_folder import RunFolder

logger = logging.getLogger("recdistill")

EXAMPLES = 20
"""Users that are shown."""
LONGEST = 20
"""Items of a shown history: its user's first ones, all of which the target came after."""
SHORTEST = 3
"""Items below which a history says little."""


@dataclass(frozen=True)
class NamedItem:
    """An item as people know it."""

    item_id: str
    title: str


@dataclass(frozen=True)
class Example:
    """A training user.

    Attributes:
        history: oldest first.
        next: the item that came after the history, on which the student was trained.
        teacher: the teacher's stored list, best first.
    """

    history: tuple[NamedItem, ...]
    next: NamedItem
    teacher: tuple[NamedItem, ...]


def read_examples(source: Path, catalog: Catalog, count: int = EXAMPLES) -> list[Example]:
    """Users at equal distances among those of whom the teacher's list is stored; none where `source` is no such run.

    Raises:
        UserError: the stored lists are broken, or of another catalog.
    """
    run = RunFolder(source)
    teacher, stored = run.manifest(SPECS["teacher"].folder), run.manifest(SPECS["export"].folder)
    if teacher is None or stored is None or run.manifest(SPECS["prepare"].folder) is None:
        return []
    data = PreparedData.load(run.step(SPECS["prepare"].folder), read_titles=False)
    prints = Fingerprints(data.fingerprint, data.split_fingerprint, str(teacher["fingerprint"]))
    try:
        reader = OutputsReader(run.step(SPECS["export"].folder), prints)
    except UserError as error:  # With mixed histories the lists are of other users than the prepared ones.
        logger.info("no training users to look at: %s", error)
        return []
    if data.item_ids[1:] != catalog.item_ids[1 : len(data.item_ids)]:
        raise UserError(f"{source}: prepared data and model are of different catalogs")
    return _examples(data, reader, catalog, count)


def _examples(data: PreparedData, reader: OutputsReader, catalog: Catalog, count: int) -> list[Example]:
    """The users' targets at the end of what is trained on, or at `LONGEST` where that is later."""
    positions = np.minimum(data.trained_ends - 1, LONGEST)
    users = np.flatnonzero(positions >= SHORTEST)
    if not len(users):
        return []
    chosen = users[np.unique(np.linspace(0, len(users) - 1, min(4 * count, len(users))).astype(int))]
    records = reader.lookup(chosen, positions[chosen], with_states=False)

    def named(item: int) -> NamedItem:
        return NamedItem(catalog.item_ids[item], catalog.name(item))

    examples = []
    for place in np.flatnonzero(records.found)[:: max(1, int(records.found.sum()) // count)][:count]:
        user, position = int(chosen[place]), int(positions[chosen[place]])
        items = data.history(user, position + 1).tolist()
        listed = [int(item) for item in records.top_items[place] if item]
        examples.append(Example(tuple(map(named, items[:-1])), named(items[-1]), tuple(map(named, listed))))
    return examples
