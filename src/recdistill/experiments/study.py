"""A designed comparison: variants (sets of settings) × seeds, each a run of its own, with equal steps done once.

    recdistill study configs/studies/ml-latest-small.yaml

writes `<out>/<variant>/seed-<seed>/`, each a whole run folder. Where another run of the study has finished a step of
the same configuration on the same inputs, its files are linked, not made again: variants that differ in the
distillation share their teacher, all variants of a seed share their student. Finished steps are kept, so that an
interrupted study resumes where it was. `recdistill compare` then tells the variants apart.
"""

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from recdistill.config.unread import unread_settings
from recdistill.errors import UserError
from recdistill.experiments.study_file import Study, run_folder
from recdistill.pipeline import Pipeline, check_models, choose_device, do_steps
from recdistill.pipeline.machine import processes_of
from recdistill.steps import SPECS, Step, needs_language_model
from recdistill.storage.files import disk_errors
from recdistill.storage.run_folder import RunFolder

logger = logging.getLogger("recdistill")

WITHOUT_LINKS = (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK)


def run_study(
    study: Study, out: Path, only: Sequence[str] = (), until: Step = "evaluate", seeds: Sequence[int] = ()
) -> None:
    """Do all runs, seed by seed, so that every variant has its first seed before any has its second.

    Args:
        study: what to run.
        out: folder of the runs.
        only: these variants alone; empty: all.
        until: the last step of each run.
        seeds: these seeds alone; empty: all.

    Raises:
        UserError: a variant or a seed is not there, or a run cannot be done.
    """
    for seed in seeds:
        if seed not in study.seeds:
            raise UserError(f"seeds: the study has no seed {seed}; it has {', '.join(map(str, study.seeds))}")
    if study.processes != (1, 1):
        config = study.config(next(iter(study.variants)), study.seeds[0], out)
        processes_of(config, choose_device(config.device))  # All but the first fall silent.
    for variant in only:
        if variant not in study.variants:
            raise UserError(f"only: the study has no variant {variant!r}; it has {', '.join(study.variants)}")
    chosen = [variant for variant in study.variants if not only or variant in only]
    if needs_language_model(until):
        for variant in chosen:
            check_models(study.config(variant, study.seeds[0], out))
    for variant in chosen:
        _tell_unread(study, variant, out)
    for seed in seeds or study.seeds:
        for variant in chosen:
            logger.info("study %s: %s, seed %d", study.name, variant, seed)
            do_steps(
                study.config(variant, seed, out), until, before=lambda pipeline, step: _borrow(pipeline, step, out)
            )


def study_runs(study: Study, out: Path, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> dict[str, list[Path]]:
    """The runs of each chosen variant, `main` first, as what the others are compared with."""
    chosen = sorted(
        (variant for variant in study.variants if not only or variant in only), key=lambda variant: variant != "main"
    )
    return {variant: [run_folder(out, variant, seed) for seed in seeds or study.seeds] for variant in chosen}


def _tell_unread(study: Study, variant: str, out: Path) -> None:
    """Say which of a variant's own settings nothing reads: it is then as if they were not there."""
    for sentence in unread_settings(study.config(variant, study.seeds[0], out)):
        if sentence.partition(":")[0] in study.own[variant]:
            logger.warning("variants.%s: %s", variant, sentence)


def _borrow(pipeline: Pipeline, step: Step, out: Path) -> None:
    """Link a step's finished folder from another run, if it is of the same fingerprint. The first process does it."""
    if pipeline.processes.is_first:
        _borrow_alone(pipeline, step, out)
    pipeline.processes.wait()


def _borrow_alone(pipeline: Pipeline, step: Step, out: Path) -> None:
    wanted, name = pipeline.plan(step).fingerprint, SPECS[step].folder
    if pipeline.folder.is_finished(name, wanted) or (step == "prepare" and pipeline.folder.manifest(name)):
        return  # A run made with other data is refused, not replaced.
    for other in _runs(out):
        if other.path != pipeline.folder.path and other.is_finished(name, wanted):
            logger.info("%s: as in %s", step, other.path)
            _link(other.step(name), pipeline.folder.step(name))
            return


def _runs(out: Path) -> Iterator[RunFolder]:
    for path in sorted(out.glob("*/seed-*")):
        yield RunFolder(path)


def _link(source: Path, target: Path) -> None:
    """A finished folder once more, its files shared; a step replaces files and never writes into one."""
    unfinished = target.with_name(f"{target.name}.linking")
    shutil.rmtree(unfinished, ignore_errors=True)
    with disk_errors(target):
        shutil.copytree(source, unfinished, copy_function=_link_or_copy)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file; copy it where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        shutil.copy2(source, target)
