"""What an evaluation stores of each model's ranking: written, read back, and taken up after an interruption."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.data.prepared import Targets
from recdistill.errors import UserError
from recdistill.evaluation.baselines.baseline import Baseline
from recdistill.evaluation.ranking import MISS, Ranking
from recdistill.evaluation.scorer import Scorer
from recdistill.storage.checksums import is_whole, write_record
from recdistill.storage.files import map_array, write_array, write_json

logger = logging.getLogger("recdistill")

RANKED_FILE = ".ranked-{}.json"
"""Size and checksum of what an evaluation has written of a model; there until it is done."""
KINDS = {"baselines": "json", "ranks": "npy", "candidate_ranks": "npy", "top_items": "npy"}
"""Folders of an evaluation with a file of each model, and the endings of these."""


def save_keys(folder: Path, targets: Targets) -> None:
    """Write which rows were ranked, for a later comparison across runs: `users.npy` and `positions.npy`."""
    write_array(folder / "users.npy", targets.users)
    write_array(folder / "positions.npy", targets.positions)


def save_ranking(folder: Path, name: str, ranking: Ranking) -> None:
    """Write what a later comparison across runs needs of a model: `ranks/<model>.npy`, `candidate_ranks/<model>.npy`
    where targets were ranked among candidates, and last, so that it stands for all, `top_items/<model>.npy`.
    """
    write_array(folder / "ranks" / f"{name}.npy", ranking.ranks)
    if ranking.candidate_ranks is not None:
        write_array(folder / "candidate_ranks" / f"{name}.npy", ranking.candidate_ranks)
    write_array(folder / "top_items" / f"{name}.npy", ranking.top_items)


def save_settings(folder: Path, name: str, scorer: Scorer) -> None:
    """Write what a baseline was fitted with to `baselines/<model>.json`; other models' settings stand elsewhere."""
    if isinstance(scorer, Baseline):
        write_json(folder / "baselines" / f"{name}.json", scorer.settings)


def read_ranking(folder: Path, model: str, shape: tuple[int, int], candidates: bool) -> Ranking | None:
    """What an evaluation stored of a model's ranking; None where it stored no lists.

    Args:
        folder: of the evaluation.
        model: its name.
        shape: (rows, K), targets that it ranked and items that it kept of each.
        candidates: whether among candidates too.

    Raises:
        UserError: a file is missing or broken, or has another shape.
    """
    if not (folder / "top_items" / f"{model}.npy").is_file():
        return None

    def stored(kind: str, dtype: str, shape: tuple[int, ...]) -> Any:
        path = folder / kind / f"{model}.npy"
        array = np.array(map_array(path))
        if array.shape != shape or array.dtype != dtype:
            raise UserError(f"{path}: {array.dtype} {array.shape}, not {dtype} {shape}; remove the evaluation")
        return array

    ranks = stored("ranks", "int64", shape[:1])
    return Ranking(
        ranks=ranks,
        top_items=stored("top_items", "int32", shape),
        repeats=int((ranks == MISS).sum()),
        candidate_ranks=stored("candidate_ranks", "int64", shape[:1]) if candidates else None,
    )


def note_ranked(folder: Path, model: str) -> None:
    """Write that all of a model's files are there, with their checksums, so that an interrupted try can be taken up."""
    write_record(folder, RANKED_FILE.format(model), _files_of(folder, model))


def ranked_before(folder: Path, model: str, shape: tuple[int, int], candidates: bool) -> Ranking | None:
    """The model's ranking by an interrupted try, if it is whole; else None, and what there is of it is removed.

    The arguments are those of :func:`read_ranking`.
    """
    if is_whole(folder, RANKED_FILE.format(model)):
        logger.info("evaluate: %s was ranked before the interruption", model)
        return read_ranking(folder, model, shape, candidates)
    if left := _files_of(folder, model):
        logger.warning("evaluate: %s is ranked again, since %s of the interrupted try is not whole", model, left[-1])
        for name in left:
            (folder / name).unlink()
    return None


def forget_ranked(folder: Path) -> None:
    """Remove what is there for going on alone, once an evaluation is done."""
    for path in folder.glob(RANKED_FILE.format("*")):
        path.unlink()


def _files_of(folder: Path, model: str) -> list[str]:
    """What is written of one model, as seen from the folder."""
    paths = (folder / kind / f"{model}.{end}" for kind, end in KINDS.items())
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
