"""What a run leaves to look at: `training.csv` with a row for each validation, and TensorBoard's event files."""

import csv
import io
from pathlib import Path
from typing import Any

from recdistill.storage.files import write_text

CSV_FILE = "training.csv"
EVERY_STEPS = 10


class TrainingLog:
    """Logs of one run.

    Args:
        folder: the step's folder.
        after_step: what TensorBoard holds beyond this step is of a try that was interrupted there, and is hidden.
    """

    def __init__(self, folder: Path, after_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.folder = folder
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=after_step + 1)

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """Log a training step, every tenth of them."""
        if step % EVERY_STEPS == 0:
            self.board.add_scalar("train/loss", loss, step)
            self.board.add_scalar("train/learning_rate", learning_rate, step)

    def validation(self, history: list[dict[str, Any]]) -> None:
        """Log the latest validation; the CSV file is written anew from the whole history, so no row is there twice."""
        latest = history[-1]
        for key, value in latest.items():
            if "@" in key:
                self.board.add_scalar(f"validation/{key}", value, latest["step"])
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(latest), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.folder / CSV_FILE, text.getvalue())

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self.board.close()
