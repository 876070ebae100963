"""Whether a run's answers leave seen items out."""

from pathlib import Path

from recdistill.storage.files import read_json

FILTER_SEEN = "evaluate.filter_seen"
"""What a model's manifest calls the setting where it is not at its default, and what `add-items` writes down."""
ABOUT_FILE = "title_map.json"
"""Where `add-items` writes it down; see :mod:`recdistill.students.title_map`, which needs torch."""


def leaves_seen_out(run: Path, model: str) -> bool:
    """Whether a run's ranking left seen items out (`evaluate.filter_seen`), by its evaluation, or by its training."""
    places = (
        (run / "evaluation/manifest.json", "config", "filter_seen"),
        (run / model / "manifest.json", "inputs", FILTER_SEEN),
    )
    for path, section, key in places:
        if path.is_file() and key in (found := read_json(path)[section]):
            return bool(found[key])
    path = run / model / ABOUT_FILE
    return bool(read_json(path).get(FILTER_SEEN, True)) if path.is_file() else True
