"""From a folder to what a recommender is made of: a bundle's model by onnxruntime, or a run's by torch."""

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from recdistill.data.about import Names
from recdistill.data.catalog import Catalog
from recdistill.errors import UserError, not_installed
from recdistill.serving.answers import About, Model
from recdistill.serving.bundle_files import BUNDLE_FILE, BundledModel, read_bundle, read_catalog
from recdistill.serving.engines import SCORE_MEMORY, Engine
from recdistill.serving.seen import leaves_seen_out
from recdistill.storage.manifest import Code
from recdistill.storage.new_folder import repaired
from recdistill.storage.step_files import SHAPE_FILE, check_step, read_manifest
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

BUNDLE_FOLDER = "bundle"
"""Where a run's own bundle lies in it."""


@dataclass(frozen=True)
class Loaded:
    """What a :class:`recdistill.serving.recommender.Recommender` is made of, in its words."""

    engine: Engine
    catalog: Catalog
    exclude_seen: bool
    popularity: list[int] | None
    about: About


def load(path: Path, model: Model, int8: bool = False, score_memory: int = SCORE_MEMORY) -> Loaded:
    """See :meth:`recdistill.serving.recommender.Recommender.load`."""
    if (repaired(path) / BUNDLE_FILE).is_file():
        return load_bundle(path, model, int8, score_memory)
    if holds_run_as_it_is(path, model):
        return load_bundle(path / BUNDLE_FOLDER, model, int8, score_memory)
    if int8:
        raise UserError(f"{path}: has no bundle of this model; run `recdistill bundle {path} --int8` first")
    return load_run(path, model, score_memory)


def best_model(path: Path) -> Model:
    """The distilled student, or the plain one where a bundle or a run has no other."""
    if (repaired(path) / BUNDLE_FILE).is_file():
        return "distilled" if "distilled" in read_bundle(path, whole=False).models else "student"
    distilled, student = ((path / model / SHAPE_FILE).is_file() for model in ("distilled", "student"))
    return "student" if student and not distilled else "distilled"


def load_bundle(folder: Path, model: Model, int8: bool = False, score_memory: int = SCORE_MEMORY) -> Loaded:
    """A bundle's model, by onnxruntime.

    Raises:
        UserError: it lacks the model, or a file is missing, changed or of another version's form.
    """
    from recdistill.serving.onnx_engine import OnnxEngine

    bundle = read_bundle(folder)
    held = bundle.models.get(model)
    if held is None:
        raise UserError(f"{folder}: holds no model {model}; it has {', '.join(bundle.models)}")
    graph, vectors = folder / _file_of(folder, held, int8), folder / held.vectors
    engine = OnnxEngine(graph, vectors, held.max_length, alone=int8, score_memory=score_memory)
    catalog = read_catalog(folder)
    about = About(
        bundle.name,
        bundle.fingerprint,
        bundle.version,
        model,
        len(catalog.item_ids) - 1,
        held.max_length,
        bundle.exclude_seen,
    )
    return Loaded(engine, Catalog(catalog.item_ids, catalog.titles), bundle.exclude_seen, catalog.counts, about)


def _file_of(folder: Path, held: BundledModel, int8: bool) -> str:
    if not int8:
        return held.file
    if not held.int8_file:
        raise UserError(f"{folder}: holds no model in 8 bits; `recdistill bundle --int8` writes one")
    return held.int8_file


def load_run(run: Path, model: Model, score_memory: int = SCORE_MEMORY) -> Loaded:
    """A run's model, by torch.

    Raises:
        UserError: the run lacks the model or the catalog, and the message names the step that makes it; or a file of
            these is damaged.
    """
    from recdistill.serving.torch_engine import TorchEngine
    from recdistill.students.make import load_student

    check_served(run, model)

    for step in ("prepare", model):
        check_step(run / step)
    names = read_typed(run / "prepare" / "catalog.json", Names)
    engine = TorchEngine(load_student(run / model), score_memory)
    exclude_seen = leaves_seen_out(run, model)
    manifest = read_manifest(run / model)
    about = About(
        run.resolve().name,
        step_fingerprint(run, model),
        manifest.get("code", Code()).get("version", "") if manifest else "",
        model,
        engine.num_items,
        engine.max_length,
        exclude_seen,
    )
    catalog = Catalog(names["item_ids"], names["titles"])
    return Loaded(engine, catalog, exclude_seen, names.get("counts") or train_counts(run), about)


def check_served(run: Path, model: Model) -> None:
    """Refuse a run that lacks what a model needs to answer.

    Raises:
        UserError: names the step to run.
    """
    from recdistill.steps import SERVED

    if not (run / model / SHAPE_FILE).is_file():
        other = next((one for one in SERVED if (run / one / SHAPE_FILE).is_file()), "")
        instead = f", or ask for --model {other}" if other else ""
        raise UserError(f"{run / model}: holds no model; run `recdistill {SERVED[model]}` first{instead}")
    if not (run / "prepare" / "catalog.json").is_file():
        raise UserError(f"{run / 'prepare'}: holds no catalog; run `recdistill prepare` first")


def train_counts(run: Path) -> list[int] | None:
    """Training interactions of each item, N + 1 counts; None where a folder holds a model and a catalog alone."""
    if not (run / "prepare" / "items.npy").is_file():
        return None
    from recdistill.data.prepared import PreparedData

    return [int(one) for one in PreparedData.load(run / "prepare", read_titles=False).train_item_counts()]


def holds_run_as_it_is(run: Path, model: Model) -> bool:
    """Whether the bundle in a run holds its model as it is now, and onnxruntime is there to answer from it."""
    folder = repaired(run / BUNDLE_FOLDER)
    if not (folder / BUNDLE_FILE).is_file():
        return False
    models = read_bundle(folder, whole=False).models
    held = models.get(model)
    if held is None:
        logger.warning("%s: not used: it has no model %s but %s", folder, model, ", ".join(models))
        return False
    if held.fingerprint != step_fingerprint(run, model):
        logger.warning("%s: is of another model than the run's; `recdistill bundle %s` writes it anew", folder, run)
        return False
    if find_spec("onnxruntime") is None:
        logger.warning("%s: not used, since %s", folder, not_installed("onnxruntime", "serve"))
        return False
    return True


def step_fingerprint(run: Path, model: str) -> str:
    """The fingerprint of the step that trained a run's model; empty where `add-items` wrote the folder."""
    manifest = read_manifest(run / model)
    return manifest["fingerprint"] if manifest else ""
