"""The two kinds of folders that can be given new items: a run (or what was made of one), and a bundle."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recdistill.data.about import Names
from recdistill.data.new_items import NewItems
from recdistill.errors import UserError
from recdistill.language_models.title_lora import TUNING_FILE, TitleTuning
from recdistill.serving.bundle import finish_bundle, kind_of_ids, write_catalog
from recdistill.serving.bundle_files import CARD_FILE, read_bundle, read_catalog
from recdistill.serving.loading import train_counts
from recdistill.serving.seen import leaves_seen_out
from recdistill.storage.checksums import write_record
from recdistill.storage.files import map_array, write_array, write_json, write_text
from recdistill.storage.step_files import SHAPE_FILE, check_step
from recdistill.storage.typed import read_typed
from recdistill.students.make import load_student, save_student
from recdistill.students.map_about import MapAbout
from recdistill.students.title_map import TitleMap, save_title_map

ITEMS = re.compile(r"[\d,]+(?= items of its catalog)")
IN_8_BITS = re.compile(r"\nIn 8 bits [^\n]*\n")
"""What changes on a bundle's card with its items."""

Titles = tuple[TitleMap, MapAbout, TitleTuning | None]
"""A title map, what is written beside it, and what the title encoder learned of the items, if it did."""


class Holder(Protocol):
    """A folder with a distilled student that knows titles.

    Attributes:
        title_map: the folder of its title map.
        item_ids: external ids of its items, without the padding's.
        table: fp32 (N + 1, D), its item vectors.
    """

    title_map: Path
    item_ids: list[str]
    table: Tensor

    def write(self, folder: Path, new: NewItems, vectors: Tensor, titles: Titles) -> None:
        """Write it to another folder with M new items, their vectors (M, D) and its title map."""
        ...


class RunItems:
    """The distilled student and the catalog of a run; see :class:`Holder`.

    Raises:
        UserError: the run has no distilled student, a file is damaged, or model and catalog are not of the same number
            of items.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.title_map = run, run / "distilled"
        if not (self.title_map / SHAPE_FILE).is_file():
            raise UserError(f"{self.title_map}: holds no model; run `recdistill distill` first")
        for step in ("prepare", "distilled"):
            check_step(run / step)
        self.student, self.catalog = load_student(self.title_map), read_typed(run / "prepare" / "catalog.json", Names)
        self.item_ids = self.catalog["item_ids"][1:]
        if self.student.num_items != len(self.item_ids):
            held = f"the model knows {self.student.num_items} items and the catalog has {len(self.item_ids)}"
            raise UserError(f"{run}: {held}")
        self.table = self.student.item_vectors().detach()

    def write(self, folder: Path, new: NewItems, vectors: Tensor, titles: Titles) -> None:
        """Write `distilled/` and `prepare/catalog.json`."""
        counts = self.catalog.get("counts") or train_counts(self.run)
        self.student.append_items(vectors)
        self.catalog["item_ids"] += new.item_ids
        self.catalog["titles"] += new.titles
        if "texts" in self.catalog:  # there are none where only titles are read
            self.catalog["texts"] += new.texts
        if counts:
            self.catalog["counts"] = [*counts, *[0] * len(vectors)]
        title_map, about, tuning = titles
        about["evaluate.filter_seen"] = leaves_seen_out(self.run, "distilled")
        save_student(self.student, folder / "distilled")
        save_title_map(title_map, about, folder / "distilled")
        if tuning is not None:
            tuning.save(folder / "distilled" / TUNING_FILE)
        write_json(folder / "prepare" / "catalog.json", self.catalog)
        write_record(folder)


class BundleItems:
    """The distilled student of a bundle; see :class:`Holder`.

    Raises:
        UserError: the bundle is not whole, or holds no distilled student.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self.title_map = folder
        self.bundle, self.catalog = read_bundle(folder), read_catalog(folder)
        if "distilled" not in self.bundle.models:
            raise UserError(f"{folder}: holds no distilled student, which alone knows titles")
        self.item_ids = self.catalog.item_ids[1:]
        vectors = map_array(folder / self.bundle.models["distilled"].vectors, "f", 2)
        self.table = torch.from_numpy(np.array(vectors))

    def write(self, folder: Path, new: NewItems, vectors: Tensor, titles: Titles) -> None:
        """Write the bundle without what knows the old items alone: the plain student, and the model in 8 bits."""
        from recdistill.serving.onnx_graph.graph import resized_graph

        held = replace(self.bundle.models["distilled"], int8_file="")
        write_array(folder / held.vectors, torch.cat([self.table, vectors]).numpy())
        (folder / held.file).write_bytes(resized_graph(self.folder / held.file, folder / held.vectors))
        item_ids = [*self.catalog.item_ids, *new.item_ids]
        counts = [*self.catalog.counts, *[0] * len(vectors)]
        write_catalog(folder, item_ids, [*self.catalog.titles, *new.titles], counts)
        title_map, about, tuning = titles
        save_title_map(title_map, about, folder)
        if tuning is not None:
            tuning.save(folder / TUNING_FILE)
        note = f"{len(vectors):,} items were added by their titles after training; the results above are without them."
        notes = (*self.bundle.notes, note)
        dropped = [one for one in (*set(self.bundle.models) - {"distilled"}, self.bundle.int8 and "8 bits") if one]
        if dropped:
            notes = (*notes, f"Not taken over, since new items were added: {', '.join(dropped)}.")
        _write_card(self.folder, folder, len(item_ids) - 1, notes[len(self.bundle.notes) :])
        finish_bundle(
            folder,
            replace(
                self.bundle,
                num_items=len(item_ids) - 1,
                ids=kind_of_ids(item_ids),
                models={"distilled": held},
                int8=None,
                notes=notes,
            ),
        )


def _write_card(before: Path, folder: Path, items: int, notes: tuple[str, ...]) -> None:
    """The card with the new number of items, without the model in 8 bits, and with more notes before the licences."""
    if not (before / CARD_FILE).is_file():
        return
    card = IN_8_BITS.sub("", (before / CARD_FILE).read_text(encoding="utf-8"))
    card = ITEMS.sub(f"{items:,}", card)
    lines = "".join(f"- {note}\n" for note in notes)
    write_text(folder / CARD_FILE, card.replace("\n## Licences\n", f"{lines}\n## Licences\n"))
