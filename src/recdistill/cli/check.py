"""`recdistill check`: a table of what is whole in a run, a bundle, a study or a bench."""

import sys
from pathlib import Path
from typing import Any

from recdistill.cli.checked_parts import Part, as_text, check_run
from recdistill.errors import UserError
from recdistill.experiments.bench.results import FILE as RESULTS_FILE
from recdistill.experiments.bench.results import read_rows
from recdistill.serving.bundle_files import BUNDLE_FILE, read_bundle
from recdistill.serving.item_index import INDEX_FILE, INDEX_FOLDER, read_about
from recdistill.serving.loading import BUNDLE_FOLDER
from recdistill.storage.new_folder import repaired


def check(options: Any) -> None:
    """Print the table.

    Raises:
        UserError: something is damaged or missing; the folder is not there, or is nothing that this package wrote.
    """
    folder = repaired(Path(options.folder))
    parts = check_folder(folder)
    sys.stdout.write(as_text(parts, options.json) + "\n")
    if bad := [part.path for part in parts if part.is_bad]:
        raise UserError(f"{folder}: damaged or missing: {', '.join(bad)}")


def check_folder(folder: Path) -> list[Part]:
    """All parts of a folder; a bundle in a run is one of them."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    indexes = [_index(path.parent, folder) for path in sorted(folder.glob(f"{INDEX_FOLDER}/*/{INDEX_FILE}"))]
    if (folder / BUNDLE_FILE).is_file():
        return [_bundle(folder, "."), *indexes]
    bundles = [_bundle(folder / BUNDLE_FOLDER, BUNDLE_FOLDER)] if (folder / BUNDLE_FOLDER).is_dir() else []
    more = [*indexes, *bundles]
    if (folder / RESULTS_FILE).is_file():
        more.append(_rows(folder))
    try:
        return [*check_run(folder), *more]
    except UserError:
        if not more:
            raise
        return more


def _bundle(folder: Path, name: str) -> Part:
    try:
        bundle = read_bundle(folder)
    except UserError as error:
        return Part(name, "damaged", told=str(error))
    return Part(name, "whole", len(bundle.files), sum(one.bytes for one in bundle.files.values()))


def _index(folder: Path, below: Path) -> Part:
    name = folder.relative_to(below).as_posix()
    try:
        files = read_about(folder)["files"]
    except UserError as error:
        return Part(name, "damaged", told=str(error))
    return Part(name, "whole", len(files), sum(one["bytes"] for one in files.values()))


def _rows(folder: Path) -> Part:
    try:
        rows = read_rows(folder)
    except UserError as error:
        return Part(RESULTS_FILE, "damaged", told=str(error))
    if any("checksum" not in row for row in rows):
        return Part(RESULTS_FILE, "no checksum recorded", told="an earlier version wrote some of its rows")
    return Part(RESULTS_FILE, "whole", 1, (folder / RESULTS_FILE).stat().st_size)
