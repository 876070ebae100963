"""The naive export: one prompt a target, all scores of all items, a file a batch."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from naive.training import NaiveTraining
from recdistill.data.windows import Windows

BATCHES = "teacher_outputs_batches"


@torch.inference_mode()
def naive_export(training: NaiveTraining, windows: Windows, folder: Path, batch_size: int) -> int:
    """Write scores (B, N + 1) and states (B, H) in fp32 and keys (B, 2) in int64, in the order of the targets.

    Args:
        training: the naive teacher.
        windows: the targets, one a window.
        folder: gets a folder of one file a batch.
        batch_size: prompts of a batch.

    Returns:
        Bytes written.
    """
    model = training.module.eval()
    (folder / BATCHES).mkdir(parents=True)
    for number, start in enumerate(range(0, len(windows), batch_size)):
        batch = training.batch(windows, np.arange(start, min(start + batch_size, len(windows))))
        states, hidden = model.read(batch)
        arrays = {
            "scores": model.scores(states).float().cpu().numpy(),
            "user_states": hidden.float().cpu().numpy(),
            "keys": torch.stack([batch.users, batch.positions], dim=1).cpu().numpy(),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, batch_file(folder, number))
    return sum(path.stat().st_size for path in (folder / BATCHES).iterdir())


def batch_file(folder: Path, number: int) -> Path:
    """Where a batch's outputs are."""
    return folder / BATCHES / f"batch-{number:05d}.safetensors"


def read_naive_export(folder: Path) -> dict[str, np.ndarray]:
    """All batches, one after another: scores (M, N + 1), user_states (M, H), keys (M, 2)."""
    parts = [load_file(path) for path in sorted((folder / BATCHES).iterdir())]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
