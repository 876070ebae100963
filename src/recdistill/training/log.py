"""What a run leaves to look at: `training.csv` with a row for each validation, and TensorBoard's event files."""

import csv
import io
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from recdistill.files import write_text

CSV_FILE = "training.csv"
EVERY_STEPS = 10


class TrainingLog:
    """Logs of one run; a run that goes on overwrites what TensorBoard holds beyond `first_step`."""

    def __init__(self, folder: Path, first_step: int) -> None:
        self.folder = folder
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

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
