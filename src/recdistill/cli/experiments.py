"""Commands of many runs: `bench`, `study`, `tune`, `compare`. Libraries are imported when a command needs them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from recdistill.cli.imports import first_import
from recdistill.cli.said import run_config_of, say
from recdistill.errors import UserError
from recdistill.experiments.tune.config import TuneConfig
from recdistill.languages import Language
from recdistill.parallel.started import is_first
from recdistill.steps import includes

if TYPE_CHECKING:
    from recdistill.experiments.study_file import Study

STUDY_METRICS = ("ndcg@10", "hit_rate@10", "mrr@10")
"""What the table at the end of a study shows; differences are those of the first."""


def bench(options: Any) -> None:
    """Run a matrix of cells, or read what there is, and write its report."""
    from recdistill.experiments.bench.reading import read_matrix
    from recdistill.experiments.bench.report import write_report
    from recdistill.experiments.bench.runner import run_bench

    matrix = read_matrix(Path(options.matrix))
    out = Path(options.out or f"runs/bench/{matrix.name}")
    if not options.report_only:
        run_bench(matrix, out, options.only, options.retry)
    write_report(matrix, out, options.language, options.matrix)
    say(f"{out / 'report.html'}\n")


def study(options: Any) -> None:
    """Run variants and seeds, and show their table."""
    with first_import("recdistill.pipeline"):
        from recdistill.experiments.study import run_study, study_runs

    study = _read(options)
    out = Path(options.out or f"runs/studies/{study.name}")
    run_study(study, out, options.only, options.until, options.seeds)
    if not is_first():
        return
    if includes(options.until, "evaluate"):
        say(_study_results(study_runs(study, out, options.only, options.seeds), options.language) + "\n\n")
    say(f"{out}\n")


def study_processes(options: Any) -> tuple[int, int]:
    """Processes on a machine, and machines, that all runs of a study are done by."""
    return _read(options).processes


def _read(options: Any) -> "Study":
    from recdistill.config.settings import assigned
    from recdistill.experiments.study_file import read_study

    return read_study(Path(options.study), assigned(options["set"]))


def _study_results(variants: dict[str, list[Path]], language: Language) -> str:
    """The table at the end of a study; its variants may have been measured on other data, and then there is none."""
    from recdistill.evaluation import compare as comparison
    from recdistill.reporting.comparison import study_table

    try:
        found = {name: comparison.compare(variants, metric=name, sliced=False) for name in STUDY_METRICS}
        return study_table(found, language)
    except UserError as error:
        return f"No table: {error}"


def tune(options: Namespace) -> None:
    """Search for a student's settings."""
    from recdistill.experiments.tune.space import DEFAULT_SPACE, read_space

    with first_import("recdistill.pipeline"):
        from recdistill.experiments.tune.tune import tune as search

    config = run_config_of(options)
    settings = TuneConfig(**{field.name: getattr(options, field.name) for field in fields(TuneConfig)})
    space = read_space(Path(options.space)) if options.space else DEFAULT_SPACE
    say(f"{search(config, settings, space)}\n")


def compare(options: Namespace) -> None:
    """Set finished runs side by side."""
    from recdistill.evaluation import compare as comparison
    from recdistill.evaluation.variants import variants_of
    from recdistill.reporting.comparison import comparison_tables

    variants = variants_of([Path(run) for run in options.runs], options.group)
    models = [name.strip() for name in options.models.split(",") if name.strip()]
    names = ("baseline", "metric", "bootstrap_samples", "permutations", "seed")
    found = comparison.compare(variants, models, **{name: options[name] for name in names})
    say((json.dumps(found) if options.json else comparison_tables(found, options.language)) + "\n")
