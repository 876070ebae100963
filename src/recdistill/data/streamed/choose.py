"""Whether interactions are read into memory or into files: by the size of what they are read from."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recdistill.config import DataConfig
from recdistill.data.about import EventCounts
from recdistill.data.interactions import Interactions, select
from recdistill.data.planted import PlantedSource
from recdistill.data.source import Source
from recdistill.data.streamed.read import StoredEvents, read_stored
from recdistill.data.streamed.select import select_stored
from recdistill.data.streamed.values import NeedsAllError

logger = logging.getLogger("recdistill")

STREAMED_BYTES = 64 * 2**20
"""Size of the interactions' files from which on they are not read into memory."""

SCRATCH = ".interactions"
"""Folder of the files that hold interactions while they are prepared."""


@dataclass(frozen=True)
class InMemory:
    """Interactions as they were read."""

    events: Interactions

    @property
    def item_ids(self) -> list[str]:
        """External ids of the items."""
        return self.events.item_ids

    def select(self, config: DataConfig) -> tuple[Interactions, dict[str, EventCounts]]:
        """See :func:`recdistill.data.interactions.select`."""
        return select(self.events, config)


@dataclass(frozen=True)
class InFiles:
    """Interactions as they were read, and the counts so far."""

    events: StoredEvents
    steps: dict[str, EventCounts]

    @property
    def item_ids(self) -> list[str]:
        """External ids of the items."""
        return self.events.item_ids

    def select(self, config: DataConfig) -> tuple[Interactions, dict[str, EventCounts]]:
        """See :func:`recdistill.data.interactions.select`."""
        return select_stored(self.events, self.steps, config)


def read_interactions(source: Source | PlantedSource, config: DataConfig, scratch: Path) -> InMemory | InFiles:
    """All interactions, in memory or in files in `scratch`, with the same outcome.

    Files of :data:`STREAMED_BYTES` or more are read by pieces. Rows that are bad, and columns whose meaning shows only
    as a whole (ids as floats, numbers beside date-times), have all of it read into memory after all; that is told.

    Raises:
        UserError: see :meth:`recdistill.data.source.Source.read_interactions`.
    """
    with_ratings = config.min_rating is not None
    if isinstance(source, Source) and _is_large(source) and (source.columns.rating or not with_ratings):
        scratch.mkdir(parents=True)
        try:
            events, steps = read_stored(source.events, source.columns, config.min_rating, scratch)
        except NeedsAllError as error:
            logger.info("data: all interactions are read into memory (%s)", error)
        else:
            return InFiles(events, dict(steps))
    return InMemory(source.read_interactions(with_ratings))


def _is_large(source: Source) -> bool:
    return bool(source.events.files) and sum(file.stat().st_size for file in source.events.files) >= STREAMED_BYTES


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A place inside of `folder` for files, which is removed when the block ends; so is what was left over there.

    Whoever writes there makes the folder. Where nothing else has come into `folder` either, that is removed too.
    """
    scratch, is_new = folder / SCRATCH, not folder.exists()
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if is_new and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
