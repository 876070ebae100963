"""What an export has read, in all its tries, and how: `evidence.json`, which is there before the store is finished."""

import logging
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from recdistill.config import ExportConfig
from recdistill.distill.batch_size import Trial
from recdistill.errors import UserError
from recdistill.measure.evidence import TokenCount, TokenState
from recdistill.measure.facts import ExportEvidence
from recdistill.measure.settings_check import judge
from recdistill.storage.checksums import DamagedError, read_sealed, sealed
from recdistill.storage.files import write_json
from recdistill.storage.shards import forget_shard, rows_aside, rows_of_shard

logger = logging.getLogger("recdistill")

EVIDENCE_FILE = "evidence.json"


class Part(NamedTuple):
    """What is missing of one shard: rows `start` to `end` of the store."""

    number: int
    start: int
    end: int


class Kept(TypedDict):
    """`read-<shard>.json`: what was read for the first `rows` rows of a shard; there until the store is finished."""

    rows: int
    count: TokenState
    checksum: str


class ReadCounts:
    """Keeps what was read for each shard, so that an export that resumes there counts on from it.

    A batch counts for the shard that its first row is in, so that the sum is that of one reading, however often an
    export was interrupted and whoever wrote which shard.

    Args:
        folder: the store.
        shard_rows: rows of a shard.
    """

    def __init__(self, folder: Path, shard_rows: int) -> None:
        self.folder, self.shard_rows = folder, shard_rows
        self._counts: dict[int, TokenCount] = {}

    def put_back(self, rows: int) -> None:
        """Compare what was kept with the shards that are there, of a store of so many rows; a shard whose counts are
        damaged is removed, to be read again.

        Raises:
            UserError: an earlier version of the program wrote these shards and did not count so.
        """
        for number in range(-(-rows // self.shard_rows)):
            there = rows_of_shard(self.folder, number) or rows_aside(self.folder, number)
            if there and self._kept(number) != there:
                forget_shard(self.folder, number)

    def _kept(self, number: int) -> int:
        """Rows for which counts were kept; 0 where these are damaged."""
        path = _counts_file(self.folder, number)
        if not path.is_file():
            raise UserError(f"{self.folder}: holds the beginning of an earlier version's export; remove it")
        try:
            kept = read_sealed(path, Kept)
        except DamagedError as error:
            logger.warning("export: rows of shard %d are read again, since %s", number, error)
            return 0
        return kept["rows"]

    def begin(self, part: Part) -> None:
        """Count for a shard, of which rows may have been set aside."""
        count = TokenCount()
        if part.start > part.number * self.shard_rows:
            count.restore(read_sealed(_counts_file(self.folder, part.number), Kept)["count"])
        self._counts[part.number] = count

    def add(self, first_row: int, read: TokenCount) -> None:
        """Count a batch, unless its first row is in a shard that others write, or that was there before."""
        if (count := self._counts.get(first_row // self.shard_rows)) is not None:
            count.merge(read)

    def keep(self, part: Part, end: int) -> None:
        """Note the counts of a shard that rows up to `end` complete; call it before these are written."""
        if end == part.end:
            self.keep_open(part, end)

    def keep_open(self, part: Part, end: int) -> None:
        """Note the counts of a shard whose rows are there up to `end`."""
        count: dict[str, Any] = {
            "rows": end - part.number * self.shard_rows,
            "count": self._counts[part.number].state(),
        }
        write_json(_counts_file(self.folder, part.number), sealed(count))

    def total(self, rows: int) -> TokenCount:
        """What was read for all shards of a store of so many rows."""
        whole = TokenCount()
        for number in range(-(-rows // self.shard_rows)):
            count = TokenCount()
            count.restore(read_sealed(_counts_file(self.folder, number), Kept)["count"])
            whole.merge(count)
        return whole


def _counts_file(folder: Path, number: int) -> Path:
    return folder / f"read-{number:05d}.json"


def take_in_counts(own: Path, store: Path, number: int) -> None:
    """Move what was read for a shard from the folder in which it was counted to the store's."""
    _counts_file(own, number).replace(_counts_file(store, number))


def forget_counts(folder: Path) -> None:
    """Remove the counts, once the store is finished or begins anew."""
    for path in folder.glob("read-*.json"):
        path.unlink(missing_ok=True)


def export_evidence(
    config: ExportConfig, size: int, trials: list[Trial], read: TokenCount, together: int
) -> ExportEvidence:
    """How an export was done: batch size and how it was found, tokens, the export's settings judged.

    Args:
        config: what was asked for.
        size: prompts a batch.
        trials: the sizes that were tried for it, in the last try.
        read: what was read, in all tries.
        together: most prompts that may stand in one batch: those of one of the folds' teachers, or all.
    """
    facts = read.plain()
    asked = {"export.batch_size": config.batch_size, "export.use_cache": config.use_cache}
    return {
        "batch_size": size,
        "batch_size_trials": [trial.kept() for trial in trials],
        "tokens": {"export": facts},
        "settings": [one.kept() for one in judge(asked, {"export": facts, "together": together})],
    }
