"""What an export has read, in all its tries, and how: `evidence.json`, which is there before the store is finished."""

import logging
from pathlib import Path
from typing import TypedDict

from recdistill.config import ExportConfig
from recdistill.distill.batch_size import Trial
from recdistill.errors import UserError
from recdistill.measure.evidence import TokenCount, TokenState
from recdistill.measure.facts import ExportEvidence
from recdistill.measure.settings_check import judge
from recdistill.storage.checksums import DamagedError, read_sealed, sealed
from recdistill.storage.files import write_json
from recdistill.storage.shards import forget_shards

logger = logging.getLogger("recdistill")

EVIDENCE_FILE = "evidence.json"
READ_FILE = "read.json"
"""Counts at the end of each shard; there until the store is finished."""


class Kept(TypedDict):
    """`read.json`: counts by rows."""

    counts: dict[str, TokenState]
    checksum: str


class ReadCounts:
    """Keeps what was read up to the end of each shard, so that an export that goes on there counts on from it.

    Args:
        folder: the store.
        shard_rows: rows of a shard.
    """

    def __init__(self, folder: Path, shard_rows: int) -> None:
        self.path, self.shard_rows = folder / READ_FILE, shard_rows
        self._states: dict[str, TokenState] = self._read()

    def _read(self) -> dict[str, TokenState]:
        """The counts of an interrupted try; without them its rows are of no use."""
        if not self.path.is_file():
            return {}
        try:
            return read_sealed(self.path, Kept)["counts"]
        except DamagedError as error:
            logger.warning("export: begins anew, since %s", error)
            forget_shards(self.path.parent)
            return {}

    def _write(self) -> None:
        write_json(self.path, sealed({"counts": self._states}))

    def put_back(self, count: TokenCount, rows_done: int) -> None:
        """Set `count` to what had been read for the first `rows_done` rows, whole shards.

        Raises:
            UserError: an earlier version of the program wrote these shards and did not count.
        """
        if not rows_done:
            return
        if str(rows_done) not in self._states:
            raise UserError(f"{self.path.parent}: holds the beginning of an earlier version's export; remove it")
        count.restore(self._states[str(rows_done)])

    def keep(self, before: TokenState, after: TokenState, start: int, end: int) -> None:
        """Note the counts for each shard that ends in a batch; call it before the batch's rows are written.

        An export goes on with the first batch that holds a row of the next shard: with this one, unless the shard ends
        where the batch does.

        Args:
            before: counts before the batch, :meth:`TokenCount.state`.
            after: and after it.
            start: rows before the batch.
            end: rows up to its end.
        """
        ends = range((start // self.shard_rows + 1) * self.shard_rows, end + 1, self.shard_rows)
        if ends:
            self._states |= {str(rows): after if rows == end else before for rows in ends}
            self._write()

    def keep_at(self, rows: int, now: TokenState) -> None:
        """Note the counts where an interrupted export stops, after so many rows."""
        self._states |= {str(rows): now}
        self._write()

    def discard(self) -> None:
        """Remove the file, once the store is finished."""
        self.path.unlink(missing_ok=True)


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
