"""Give a distilled student items that came after its training: their titles are all that is known of them."""

import shutil
from pathlib import Path

from recdistill.data.fetch import cache_folder
from recdistill.data.new_items import ItemColumns, read_new_items
from recdistill.errors import UserError
from recdistill.files import disk_errors, read_json, write_json
from recdistill.settings import run_config
from recdistill.students.make import SHAPE_FILE, load_student, save_student
from recdistill.students.title_map import load_title_map, save_title_map
from recdistill.teacher.titles import title_embeddings


def add_items(run: Path, items: Path, out: Path) -> int:
    """Write a run's distilled student and catalog to `out` with new items behind the known ones.

    Nothing is trained, and what the student answers about the known items stays as it was, but for the places that new
    ones take. `out` is what `recdistill recommend` and :class:`recdistill.serving.recommender.Recommender` read, and
    may be added to again.

    Args:
        run: a finished run, or what an earlier call wrote; of it `distilled/` and `prepare/catalog.json` are read.
        items: a file of items, see :func:`recdistill.data.new_items.read_new_items`.
        out: the folder to write; it must not be there.

    Returns:
        How many items were added.

    Raises:
        UserError: the run has no distilled student that knows titles, the titles' encoder cannot be had or is another
            than at training, the file is wrong, nothing in it is new, or `out` is there already.
    """
    if out.exists():
        raise UserError(f"out: {out} is there already; choose another folder")
    if not (run / "distilled" / SHAPE_FILE).is_file():
        raise UserError(f"{run / 'distilled'}: holds no model; run `recdistill distill` first")
    title_map, about = load_title_map(run / "distilled")
    student = load_student(run / "distilled")
    catalog = read_json(run / "prepare" / "catalog.json")
    new = read_new_items(items, set(catalog["item_ids"][1:]), ItemColumns(**about["columns"]))
    texts = ["", about["example"], *new.texts]
    # The store has embeddings in half precision, so that is what the student was trained on.
    encoder = run_config({"teacher": about["teacher"]}).teacher
    embeddings = title_embeddings(encoder, texts, cache_folder(), "cpu").half()
    if not title_map.is_made_for(embeddings[1]):
        raise UserError(f"{run}: another encoder than here read its titles (teacher.title_encoder, teacher.llm)")
    student.append_items(title_map(embeddings[2:]))
    catalog["item_ids"] += new.item_ids
    catalog["titles"] += new.titles
    if "texts" in catalog:
        catalog["texts"] += new.texts
    partial = out.with_name(f"{out.name}.partial")
    with disk_errors(partial):
        shutil.rmtree(partial, ignore_errors=True)
        save_student(student, partial / "distilled")
        save_title_map(title_map, about, partial / "distilled")
        write_json(partial / "prepare" / "catalog.json", catalog)
        partial.rename(out)
    return len(new.item_ids)
