"""The options of every variant; `students.py` passes them on."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
import yaml

from recdistill.config import StudentConfig

EPOCHS = {"ours": StudentConfig().train.max_epochs, "rectools": 100, "recbole": 50}
"""The most that a library's variant trains where `--epochs` does not say."""
NEVER = 2.0
"""An NDCG@10 that none has."""


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
    parser.add_argument("--until", type=float, default=NEVER, help="validation NDCG@10 at which it stops")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--variant", required=True, help="whose it is, and its settings: `rectools:loss=BCE,lr=0.002`")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return arguments


def settings_of(variant: str) -> tuple[str, dict[str, Any]]:
    """Whose a variant is, and its settings: `rectools:loss=BCE,n_negatives=256`; values as YAML reads them.

    Raises:
        ValueError: a setting has no value.
    """
    whose, _, words = variant.partition(":")
    pairs = [word.partition("=") for word in words.split(",") if word]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError(f"{variant}: a setting is written KEY=VALUE")
    return whose, {key: yaml.safe_load(value) for key, _, value in pairs}
