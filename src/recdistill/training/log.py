"""What a run leaves to look at: `training.csv` with a row for each validation, and TensorBoard's event files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recdistill.storage.files import write_text
from recdistill.training.callbacks import Callback
from recdistill.training.validations import Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from recdistill.training.checkpoint import Counts

CSV_FILE = "training.csv"
EVERY_STEPS = 10


class TrainingLog(Callback):
    """Logs of one run.

    Args:
        folder: the step's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board: SummaryWriter | None = None

    def started(self, counts: "Counts", resumed: bool) -> None:
        """Open TensorBoard's file; what it holds beyond this step is of an interrupted try, and is hidden."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=counts.step + 1)

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        """Log a training step, every tenth of them."""
        if step % EVERY_STEPS == 0:
            self._scalar("train/loss", loss, step)
            self._scalar("train/learning_rate", learning_rate, step)

    def validated(self, history: Sequence[Validation]) -> bool:
        """Log the latest validation; the CSV file is written anew from the whole history, so no row is there twice."""
        latest = history[-1]
        for key, value in latest.metrics.items():
            self._scalar(f"validation/{key}", value, latest.step)
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(latest.flat()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.flat() for row in history)
        write_text(self.folder / CSV_FILE, text.getvalue())
        return False

    def ended(self) -> None:
        """Flush TensorBoard's file."""
        if self.board is not None:
            self.board.close()

    def _scalar(self, key: str, value: float, step: int) -> None:
        if self.board is None:
            raise ValueError("the log has not been started")
        self.board.add_scalar(key, value, step)
