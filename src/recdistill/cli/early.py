"""What can be refused before torch is imported, which takes seconds: files, columns, models, names of folders."""

import difflib
import logging
import re
from pathlib import Path

from recdistill.config import DataConfig, RunConfig
from recdistill.config.teacher_kind import NoTeacher
from recdistill.errors import UserError
from recdistill.steps import SPECS, Step, includes, needs_language_model
from recdistill.storage.new_folder import repaired

logger = logging.getLogger("recdistill")

TABLES = (".csv", ".tsv", ".parquet", ".pq", ".inter", ".csv.gz", ".csv.zst")
"""Endings of files that may be somebody's interactions."""
LIKE = 0.75
"""Least likeness (difflib's ratio) of a run's name that is offered for another."""


def check_run(config: RunConfig, step: Step, data_named: bool) -> None:
    """Look at what a run up to `step` would read first, and refuse what is not there.

    Args:
        config: the run.
        step: the last step.
        data_named: whether the person said what to read, on the command line or in the file.

    Raises:
        UserError: a file or a column is missing, a model has not been fetched or is no model; there is data here and
            nobody said what to read; or `evaluate` or `report` names a run that is not there
            and is like one that is, with nothing said of what to read.
    """
    run = Path(config.run)
    # Who says what to read makes a new run, however like another its name is (`try-2` beside `try-1`).
    if includes(step, "evaluate") and not data_named and not run.exists() and (like := _like(run)):
        raise UserError(f"{run}: no such run; did you mean {like}? (`recdistill run --run {run}` makes a new one)")
    prepared = (run / SPECS["prepare"].folder / "manifest.json").is_file()
    if not prepared:
        if not data_named:
            _tell_demo(config.data)
        if not (run.exists() and not run.is_dir()):  # That it is no folder is told where it is locked.
            _open(config.data)
    if needs_language_model(step):
        _check_models(config)


def check_finished(run: Path) -> None:
    """Refuse a run's folder that is not there.

    Raises:
        UserError: names the folder, and the run that its name is most like.
    """
    if not repaired(run).is_dir():
        like = _like(run)
        raise UserError(f"{run}: no such run" + (f"; did you mean {like}?" if like else ""))


def _open(config: DataConfig) -> None:
    """Find the files and read their headers."""
    # polars is read in here, where it is needed.
    from recdistill.data.sources import open_source

    open_source(config)


def _tell_demo(config: DataConfig) -> None:
    """Say that the demo's data is taken; not where there is data that might have been meant."""
    files = sorted(path.name for path in Path().iterdir() if path.name.lower().endswith(TABLES))
    if files:
        kind = "parquet" if files[0].lower().endswith((".parquet", ".pq")) else "csv"
        kind = "recbole" if files[0].lower().endswith(".inter") else kind
        raise UserError(
            f"data.source: nothing says what to read, and {files[0]} is here; write --data.source {kind} --data.path "
            f"{files[0]}, or --data.source {config.source} for the demo's data"
        )
    logger.info("nothing says what to read, so it is the demo's data (data.source: %s)", config.source)


def _check_models(config: RunConfig) -> None:
    """The language model and the titles' encoder, as far as their files tell."""
    from recdistill.data.fetch import cache_folder
    from recdistill.language_models.locations import encoder_location, llm_location

    teacher = config.teacher
    if isinstance(teacher.chosen, NoTeacher):
        return
    if teacher.reading_llm is not None:
        llm_location(teacher.llm, cache_folder())
    if teacher.title_encoder != "llm":
        encoder_location(teacher.title_encoder, cache_folder())


def _like(run: Path) -> Path | None:
    """The run beside `run` whose name is most like its own; names that differ in their numbers alone are two runs."""
    if not run.parent.is_dir():
        return None
    names = [path.name for path in run.parent.iterdir() if path.is_dir() and _letters(path.name) != _letters(run.name)]
    found = difflib.get_close_matches(run.name, names, n=1, cutoff=LIKE)
    return run.with_name(found[0]) if found else None


def _letters(name: str) -> str:
    return re.sub(r"\d+", "", name)
