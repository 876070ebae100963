"""Whether a run's answers leave seen items out."""

from pathlib import Path

from recdistill.storage.step_files import read_manifest
from recdistill.storage.typed import read_optional
from recdistill.students.map_about import MapAbout

FILTER_SEEN = "evaluate.filter_seen"
"""What a model's manifest calls the setting where it is not at its default, and what `add-items` writes down."""
ABOUT_FILE = "title_map.json"
"""Where `add-items` writes it down; see :mod:`recdistill.students.title_map`, which needs torch."""


def leaves_seen_out(run: Path, model: str) -> bool:
    """Whether a run's ranking left seen items out (`evaluate.filter_seen`), by its evaluation, or by its training."""
    evaluated = read_manifest(run / "evaluation")
    if evaluated and "filter_seen" in evaluated["config"]:
        return bool(evaluated["config"]["filter_seen"])
    trained = read_manifest(run / model)
    if trained and FILTER_SEEN in trained["inputs"]:
        return bool(trained["inputs"][FILTER_SEEN])
    about = read_optional(run / model / ABOUT_FILE, MapAbout)
    return about.get("evaluate.filter_seen", True) if about else True
