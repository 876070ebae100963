"""A designed comparison: variants (sets of settings) × seeds, each a run of its own, with equal steps done once.

    recdistill study configs/studies/ml-latest-small.yaml

writes `<out>/<variant>/seed-<seed>/`, each a whole run folder. Where another run of the study has finished a step of
the same configuration on the same inputs, its files are linked, not made again: variants that differ in the
distillation share their teacher, all variants of a seed share their student. Finished steps are kept, so that an
interrupted study goes on where it was. `recdistill compare` then tells the variants apart.
"""

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from recdistill.config import RunConfig
from recdistill.config.settings import flat, nested, run_config
from recdistill.config.unread import unread_settings
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.pipeline import Pipeline, check_models, do_steps
from recdistill.steps import SPECS, Step, needs_language_model
from recdistill.storage.files import disk_errors
from recdistill.storage.names import is_own_name
from recdistill.storage.run_folder import RunFolder

logger = logging.getLogger("recdistill")

KEYS = ("name", "base", "config", "seeds", "variants")
OWN = ("run", "seed")
"""What a study sets itself."""
WITHOUT_LINKS = (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK)


@dataclass(frozen=True)
class Study:
    """A study as its file has it.

    Attributes:
        name: of the study.
        seeds: of the runs of each variant.
        variants: dotted settings of each variant, all of them, in the file's order.
        own: the settings that a variant makes itself; the others it has in common with all.
    """

    name: str
    seeds: tuple[int, ...]
    variants: dict[str, dict[str, object]]
    own: dict[str, frozenset[str]]

    def config(self, variant: str, seed: int, out: Path) -> RunConfig:
        """The configuration of one run.

        Raises:
            UserError: a key of the variant is unknown, of the wrong type or out of range; names it.
        """
        return replace(self._configs[variant], run=str(run_folder(out, variant, seed)), seed=seed)

    @cached_property
    def _configs(self) -> dict[str, RunConfig]:
        """The configuration of each variant, for any seed. Made once: reading one takes a fifth of a second."""
        made = {}
        for variant, settings in self.variants.items():
            try:
                made[variant] = run_config(nested(settings))
            except UserError as error:
                raise UserError(f"variants.{variant}: {error}") from error
        return made


def run_folder(out: Path, variant: str, seed: int) -> Path:
    """Where a run of a study is."""
    return out / variant / f"seed-{seed}"


def read_study(path: Path, above: Mapping[str, object] | None = None) -> Study:
    """Read a study and check all its variants, before anything runs.

    `config` names a file of settings, seen from the study's own folder, that all variants begin with; `base` holds more
    of them; each of `variants` has its own on top. Later ones win, and `above` (dotted settings) wins over all of them.

    Raises:
        UserError: names the key that is missing, unknown or wrong.
    """
    content = _settings(read_yaml(path, "study", named="variants"), str(path))
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        hint = "it is called variants now" if unknown[0] == "arms" else f"there are {', '.join(KEYS)}"
        raise UserError(f"{path}: {unknown[0]}: unknown; {hint}")
    name, config = _text(content, "name", path), _text(content, "config", path)
    if name and not is_own_name(name):
        raise UserError(f"{path}: name: {name!r} is the name of the folder of results; use letters, digits and -")
    variants, seeds = content.get("variants"), content.get("seeds")
    if not isinstance(variants, dict) or not variants:
        raise UserError(f"{path}: variants: must hold one variant at least (`main: {{}}`)")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{path}: seeds: must be a list of whole numbers")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: seeds: one is there twice")
    common: dict[str, object] = {}
    if config:
        file = flat(_settings(read_yaml(path.parent / config, "study"), config))
        common |= {key: value for key, value in file.items() if key not in OWN}
    common |= _changes(content.get("base", {}), f"{path}: base")
    last = _changes(dict(above or {}), "set")
    changes = {
        _variant_name(variant): _changes(own, f"{path}: variants.{variant}") for variant, own in variants.items()
    }
    study = Study(
        name=name if "name" in content else path.stem,
        seeds=tuple(seeds),
        variants={variant: common | own | last for variant, own in changes.items()},
        own={variant: frozenset(own) for variant, own in changes.items()},
    )
    for variant in study.variants:
        for seed in seeds:
            study.config(variant, seed, Path())
    return study


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
    """Link a step's finished folder from another run, if it is of the same fingerprint."""
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


def _settings(content: Any, name: str) -> dict[str, object]:
    if not isinstance(content, dict):
        raise UserError(f"{name}: must hold settings (lines like `key: value`)")
    return content


def _changes(content: Any, name: str) -> dict[str, object]:
    """Dotted settings of `base` or of a variant; what a study sets itself is refused."""
    settings = flat(_settings(content, name))
    for key in OWN:
        if key in settings:
            raise UserError(f"{name}.{key}: set by the study itself")
    return settings


def _text(content: Mapping[str, object], key: str, path: Path) -> str:
    """A text of the study's own; empty where it is left out."""
    found = content.get(key, "")
    if not isinstance(found, str):
        raise UserError(f"{path}: {key}: {found!r} is not text; leave it blank or put it in quotes")
    return found


def _variant_name(variant: Any) -> str:
    name = str(variant)
    if not is_own_name(name):
        raise UserError(f"variants.{name}: a variant's name is a folder's name; use letters, digits and -")
    return name
