"""What workers of a Ray cluster do in tests; they find it by its name."""

import os
import signal
from pathlib import Path

from parallel.ray_light_work import FULL
from recdistill.errors import UserError
from recdistill.evaluation.ranking import Ranking
from recdistill.pipeline.on_cluster import RowsToRank, ShardToExport, export_shard, rank_rows


def killed_once(folder: Path) -> None:
    """Be killed as the kernel does it, unless somebody was."""
    try:
        (folder / "killed").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def export_after_a_kill(piece: ShardToExport) -> Path:
    """As :func:`export_shard`, but the worker that has the second shard is killed behind half of its work."""
    own = export_shard(piece)
    if piece.part.number == 1:
        killed_once(piece.folder.parent)
    return own


def export_on_a_full_disk(piece: ShardToExport) -> Path:
    """As :func:`export_shard`, but there is no room for the fourth shard."""
    if piece.part.number == 3:
        raise UserError(f"{piece.folder}: {FULL}")
    return export_shard(piece)


def rank_after_a_kill(piece: RowsToRank) -> Ranking:
    """As :func:`rank_rows`, but the worker that has the teacher's second part is killed."""
    if piece.model == "teacher" and piece.number == 1:
        killed_once(Path(piece.run.config.run))
    return rank_rows(piece)
