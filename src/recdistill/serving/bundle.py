"""One self-contained folder from a run: its models as graphs, its catalog, its card, checksums of all.

What is in it stands in :mod:`recdistill.serving.bundle_files`, which reads it without torch.
"""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError, not_installed
from recdistill.language_models.title_lora import TUNING_FILE
from recdistill.serving.bundle_files import (
    BUNDLE_FILE,
    CARD_FILE,
    CATALOG_FILE,
    FORM,
    Bundle,
    BundledModel,
    Int8Quality,
    bundle_json,
    fingerprint_of,
    held_files,
)
from recdistill.serving.card import bundle_card
from recdistill.serving.loading import BUNDLE_FOLDER, check_served, step_fingerprint
from recdistill.serving.onnx_engine import OnnxEngine
from recdistill.serving.seen import leaves_seen_out
from recdistill.serving.torch_engine import TorchEngine
from recdistill.steps import SERVED
from recdistill.storage.files import read_json, write_json, write_text
from recdistill.storage.new_folder import new_folder
from recdistill.storage.step_files import SHAPE_FILE, check_step
from recdistill.students.make import load_student
from recdistill.students.title_map import ABOUT_FILE, MAP_FILE
from recdistill.version import __version__

logger = logging.getLogger("recdistill")

FILES = {"distilled": ("model.onnx", "item_vectors.npy"), "student": ("student.onnx", "student_vectors.npy")}
"""Model → its graph and its item vectors."""
INT8_FILE = "model.int8.onnx"
COMPARED = 256
"""Histories over which each graph is compared with torch before a bundle is written."""
TOLERANCE = 1e-4
"""Largest difference of a score, as a share of the largest one, that rounding explains."""
TOP_K = 10


def make_bundle(run: Path, out: Path | None = None, name: str = "", int8: bool = False) -> Path:
    """Write a finished run's students to one folder that answers by itself.

    Each graph is compared with torch over users' histories before anything is in place. A bundle that is at `out`
    already is replaced.

    Args:
        run: a finished run with a student at least.
        out: the folder to write; None: `bundle` in the run, where `recommend` and `serve` find it.
        name: what the bundle is called in answers and on its card; empty: the run's name.
        int8: also write the best model in 8 bits, and measure what that costs on the validation targets.

    Returns:
        The folder.

    Raises:
        UserError: the run lacks a model or its data, or one is damaged; a library is missing; or a graph's scores are
            not torch's.
    """
    _check_libraries()
    models = [model for model in SERVED if (run / model / SHAPE_FILE).is_file()]
    check_served(run, models[0] if models else "distilled")  # type: ignore[arg-type]
    for step in ("prepare", *models, "evaluation", "teacher"):
        check_step(run / step)
    data, names = PreparedData.load(run / "prepare"), read_json(run / "prepare" / "catalog.json")
    out = out or run / BUNDLE_FOLDER
    with new_folder(out, replaces=BUNDLE_FILE) as folder:
        held = {model: _bundled(run, model, folder, data) for model in models}
        quality = _in_8_bits(folder, data, held, models[0], leaves_seen_out(run, models[0])) if int8 else None
        write_catalog(folder, names["item_ids"], names["titles"], data.train_item_counts().tolist())
        for file in (ABOUT_FILE, MAP_FILE, TUNING_FILE):
            if (run / models[0] / file).is_file():
                shutil.copyfile(run / models[0] / file, folder / file)
        bundle = Bundle(
            name=name or run.resolve().name,
            fingerprint="",
            form=FORM,
            version=__version__,
            made=_now(),
            ids=kind_of_ids(names["item_ids"]),
            num_items=data.num_items,
            exclude_seen=leaves_seen_out(run, models[0]),
            inputs={"data": data.fingerprint, "split": data.split_fingerprint},
            models=held,
            files={},
            int8=quality,
        )
        write_text(folder / CARD_FILE, bundle_card(run, bundle))
        finish_bundle(folder, bundle)
    return out


def finish_bundle(folder: Path, bundle: Bundle) -> None:
    """Write `bundle.json`, last, with size and checksum of all that lies in the folder."""
    files = held_files(folder, (path.name for path in folder.iterdir() if path.name != BUNDLE_FILE))
    write_text(folder / BUNDLE_FILE, bundle_json(replace(bundle, files=files, fingerprint=fingerprint_of(files))))


def write_catalog(folder: Path, item_ids: Iterable[str], titles: Iterable[str], counts: Iterable[int]) -> None:
    """Write `catalog.json`; see :class:`recdistill.serving.bundle_files.BundledCatalog`."""
    write_json(folder / CATALOG_FILE, {"item_ids": list(item_ids), "titles": list(titles), "counts": list(counts)})


def kind_of_ids(item_ids: list[str]) -> str:
    """`whole numbers` where all external ids (the first, the padding's, aside) are, else `text`."""
    return "whole numbers" if all(one.isascii() and one.isdigit() for one in item_ids[1:]) else "text"


def _check_libraries() -> None:
    for library in ("onnx", "onnxruntime"):
        if find_spec(library) is None:
            raise UserError(not_installed(library, "train,serve"))


def _bundled(run: Path, model: str, folder: Path, data: PreparedData) -> BundledModel:
    """Write a model's graph, and compare it with torch."""
    from recdistill.serving.onnx_graph import student_graph, write_graph

    student = load_student(run / model)
    if student.num_items != data.num_items:
        raise UserError(f"{run}: the model knows {student.num_items} items and the catalog has {data.num_items}")
    file, vectors = FILES[model]
    write_graph(student_graph(student), folder / file, folder / vectors)
    engine = OnnxEngine(folder / file, folder / vectors, student.config.max_length)
    compare_engines(engine, TorchEngine(student), _histories(data, COMPARED), folder / file)
    shape = student.config
    return BundledModel(file, vectors, shape.max_length, student.state_dim, step_fingerprint(run, model))


def compare_engines(engine: OnnxEngine, torch: TorchEngine, histories: list[list[int]], path: Path) -> None:
    """Refuse a graph whose scores are not the student's.

    Raises:
        UserError: a score differs by more than rounding explains.
    """
    for start in range(0, len(histories), COMPARED):
        some = histories[start : start + COMPARED]
        ours, theirs = (one.states(some) @ one.item_vectors[1:].T for one in (engine, torch))
        difference, largest = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
        if not difference <= TOLERANCE * largest:
            raise UserError(f"{path}: scores differ from the student's by {difference:.2g}, of {largest:.2g}")


def _histories(data: PreparedData, most: int) -> list[list[int]]:
    """Histories before the validation targets, of users evenly spread."""
    targets = data.targets("validation")
    rows = np.unique(np.linspace(0, len(targets) - 1, min(most, len(targets))).astype(int))
    return [data.history(int(targets.users[row]), int(targets.positions[row])).tolist() for row in rows]


def _in_8_bits(
    folder: Path, data: PreparedData, held: dict[str, BundledModel], model: str, exclude_seen: bool
) -> Int8Quality:
    """Write a model's weights in 8 bits, and measure what that costs."""
    from recdistill.serving.onnx_graph.quantised import quantise

    one = held[model]
    quantise(folder / one.file, folder / INT8_FILE)
    held[model] = replace(one, int8_file=INT8_FILE)
    targets = data.targets("validation")
    if not len(targets):
        raise UserError("int8: there are no validation targets to measure it on")
    histories, wanted = _histories(data, len(targets)), data.target_items(targets)
    top_k = min(TOP_K, data.num_items)
    lists = []
    for file in (one.file, INT8_FILE):
        engine = OnnxEngine(folder / file, folder / one.vectors, one.max_length, alone=file == INT8_FILE)
        lists.append(engine.best(histories, top_k, exclude_seen)[0])
    gains = [float(((found == wanted[:, None]) / np.log2(np.arange(2, top_k + 2))).sum(1).mean()) for found in lists]
    same = float((lists[0] == lists[1]).all(axis=1).mean())
    logger.info("8 bits: validation NDCG@10 %.4f instead of %.4f; %.1f %% same lists", gains[1], gains[0], 100 * same)
    return Int8Quality(len(targets), gains[0], gains[1], same)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
