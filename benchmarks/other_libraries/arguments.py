"""The options of every variant; `students.py` passes them on."""

import argparse
import os
from pathlib import Path

import torch

from recdistill.config import StudentConfig

EPOCHS = {"ours": StudentConfig().train.max_epochs, "rectools": 100, "recbole": 50}
"""The most that a variant trains where `--epochs` does not say."""


def parse(description: str, epochs: int) -> argparse.Namespace:
    """Parse a variant's options and set the threads.

    Args:
        description: the variant's docstring.
        epochs: of :data:`EPOCHS`, the variant's.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `recdistill prepare`")
    parser.add_argument("--out", type=Path, required=True, help="file that gets one line of JSON")
    parser.add_argument("--epochs", type=int, default=epochs, help="most epochs")
    parser.add_argument("--patience", type=int, default=10, help="validations without a better one before it stops")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return arguments
