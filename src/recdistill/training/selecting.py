"""Choose, once, the training targets that are distilled."""

import logging
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.config import RunConfig
from recdistill.data.batches import sorted_batches
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import collate, training_windows
from recdistill.distill.lists import hide_history, list_scores
from recdistill.distill.outputs import OutputsReader
from recdistill.distill.selection import divergence_above, student_misses
from recdistill.storage.files import map_array, write_array
from recdistill.storage.kept_files import is_kept, keep
from recdistill.students.make import load_student

logger = logging.getLogger("recdistill")

SELECTED_FILE = "selected.npy"
BATCH_WINDOWS = 32
FEW = 0.01
"""Share of the targets below which a selection is hardly distillation."""


def selected_events(
    config: RunConfig, data: PreparedData, reader: OutputsReader, student_folder: Path, folder: Path, device: str
) -> NDArray[np.bool_]:
    """Whether each interaction is distilled when it is a target, as `distill.selection` says: bool (interactions,).

    What takes a student to find out is kept in `folder` and read from there when the training resumes.
    """
    if config.distill.selection == "all" or not config.distill.weight:
        return np.ones(len(data.items), dtype=np.bool_)
    path = folder / SELECTED_FILE
    if not is_kept(path):
        write_array(path, _ask_student(config, data, reader, student_folder, device))
        keep(path)
    selected = np.asarray(map_array(path))
    _tell(config.distill.selection, int(selected.sum()), len(data.targets("train")))
    return selected


def _tell(selection: str, chosen: int, targets: int) -> None:
    """Say how many targets are distilled, and that the setting is not in effect where it is none or all of them."""
    logger.info("distill.selection: %s: %s of %s targets", selection, f"{chosen:,}", f"{targets:,}")
    if chosen < FEW * targets:
        logger.warning("distill.selection: %s leaves next to no target, so hardly a list is learned", selection)
    elif chosen == targets:
        logger.warning("distill.selection: %s is not in effect: it leaves every target in", selection)


@torch.inference_mode()
def _ask_student(
    config: RunConfig, data: PreparedData, reader: OutputsReader, student_folder: Path, device: str
) -> NDArray[np.bool_]:
    """Run the plain student once over all training targets."""
    distill, student = config.distill, load_student(student_folder).to(device)
    selected = np.zeros(len(data.items), dtype=np.bool_)
    windows, vectors = training_windows(data, student.config.max_length, "all"), student.item_vectors()
    for rows in sorted_batches(windows.lengths, BATCH_WINDOWS):
        batch = collate(data, windows, rows)
        real = batch.targets > 0
        states = student.states_with(vectors, batch.items.to(device))[real.to(device)]
        users = batch.users.unsqueeze(1).expand_as(real)[real].numpy()
        keys = Targets(users.astype(np.int32), batch.positions[real].numpy() + 1)
        if distill.selection == "kl_above":
            records = reader.require(keys.users, keys.positions, with_states=False)
            items = torch.from_numpy(records.top_items[:, : distill.top_k].astype(np.int64)).to(device)
            teacher_scores = torch.from_numpy(records.top_scores[:, : distill.top_k]).to(device)
            scores = list_scores(states, vectors, items)
            chosen = divergence_above(scores, teacher_scores, distill.kl_threshold)
        elif distill.selection == "student_misses":
            scores = student.scores(states)
            if config.evaluate.filter_seen:
                hide_history(scores, data, keys)
            wanted = torch.from_numpy(data.target_items(keys).astype(np.int64)).to(device)
            chosen = student_misses(scores, wanted, distill.top_k)
        elif distill.selection == "all":
            raise ValueError("selection: all asks no student")
        else:
            assert_never(distill.selection)
        selected[data.offsets[keys.users] + keys.positions] = chosen.cpu().numpy()
    return selected
