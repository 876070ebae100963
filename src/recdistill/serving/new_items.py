"""Give a distilled student items that came after its training: their titles are all that is known of them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.config.settings import run_config
from recdistill.data.fetch import cache_folder
from recdistill.data.new_items import ItemColumns, NewItems, read_new_items
from recdistill.errors import UserError
from recdistill.language_models.title_lora import TitleTuning, load_tuning
from recdistill.language_models.titles import title_embeddings
from recdistill.serving.bundle_files import BUNDLE_FILE
from recdistill.serving.item_holders import BundleItems, Holder, RunItems
from recdistill.storage.files import sha256_of
from recdistill.storage.new_folder import new_folder
from recdistill.storage.typed import typed
from recdistill.students.map_about import MapAbout
from recdistill.students.title_map import TitleMap, load_title_map


def add_items(run: Path, items: Path, out: Path, encoder: str = "", device: str = "cpu") -> int:
    """Write a run's distilled student and catalog to `out` with new items behind the known ones.

    Nothing is trained, and what the student answers about the known items stays as it was, but for the places that new
    ones take. `out` is what `recdistill recommend` and :class:`recdistill.serving.recommender.Recommender` read, and
    may be added to again; `title_map.json` in it says what was added, and from which file.

    Args:
        run: a finished run or what an earlier call wrote, of which `distilled/` and `prepare/catalog.json` are read; or
            a bundle, of which a new bundle is made.
        items: a file of items, see :func:`recdistill.data.new_items.read_new_items`.
        out: the folder to write; it must not be there, nor lie in `run`.
        encoder: where the model lies by now that embedded the titles at training. Empty: where it was.
        device: `cpu` or `cuda`, for that model.

    Returns:
        How many items were added.

    Raises:
        UserError: the run has no distilled student that knows titles, the titles' encoder cannot be had or is another
            than at training, the file is wrong, nothing in it is new, or `out` may not be written.
    """
    source: Holder = BundleItems(run) if (run / BUNDLE_FILE).is_file() else RunItems(run)
    title_map, about = load_title_map(source.title_map)
    tuning = load_tuning(source.title_map)
    _refuse_inside(out, run)
    with torch.no_grad(), new_folder(out) as folder:
        new = read_new_items(items, set(source.item_ids), typed(about["columns"], ItemColumns, str(run)))
        embeddings = _embeddings(title_map, about, tuning, new, run, encoder, device)
        about["added"] = [
            *about.get("added", []),
            {"file": items.name, "sha256": sha256_of(items), "items": len(new.item_ids), "when": _now()},
        ]
        source.write(folder, new, title_map.vectors(embeddings, source.table), (title_map, about, tuning))
    return len(new.item_ids)


def _refuse_inside(out: Path, run: Path) -> None:
    if run.resolve() in out.resolve().parents:
        raise UserError(f"out: {out} lies in the run {run}; choose another folder")


def _embeddings(
    title_map: TitleMap,
    about: MapAbout,
    tuning: TitleTuning | None,
    new: NewItems,
    run: Path,
    encoder: str,
    device: str,
) -> Tensor:
    """Embeddings fp16 (M, H) of the new items' titles, by the encoder that the map was made for."""
    config = _encoder_config(run_config({"teacher": about["teacher"]}).teacher, encoder, device)
    texts, count = ["", *about["examples"], *new.texts], len(about["examples"])
    # Half precision, as in the store, from which the student was trained.
    embeddings = title_embeddings(config, texts, cache_folder(), device, tuning).half()[1:]
    if not title_map.is_made_for(embeddings[:count]):
        raise UserError(f"{run}: another encoder than here read its titles (teacher.title_encoder, teacher.llm)")
    if not bool(torch.isfinite(embeddings).all()):
        raise UserError(f"{run}: the embedding of a title is not a number in half precision")
    added = embeddings[count:]
    if unread := [text for text, row in zip(new.texts, added, strict=True) if not bool(row.any())]:
        raise UserError(f"{run}: the title encoder finds nothing to read in {unread[0]!r}; leave its item out")
    return added


def _encoder_config(config: TeacherConfig, encoder: str, device: str) -> TeacherConfig:
    """The encoder where it lies by now, in a precision that the device has: the map's examples guard the rest."""
    if encoder and config.title_encoder == "llm":
        config = replace(config, llm=encoder)
    elif encoder:
        config = replace(config, title_encoder=encoder)
    return replace(config, precision="fp32") if device == "cpu" else config


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
