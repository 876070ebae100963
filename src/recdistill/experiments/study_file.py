"""A study as its file has it: variants (sets of settings) × seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from recdistill.config import RunConfig
from recdistill.config.settings import flat, nested, run_config
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.storage.names import is_own_name

KEYS = ("name", "base", "config", "seeds", "variants")
OWN = ("run", "seed")
"""What a study sets itself."""


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

    @property
    def processes(self) -> tuple[int, int]:
        """`devices` and `nodes`, of all runs: the processes that do one do the next.

        Raises:
            UserError: variants differ in them, or, where there are several processes, in their `device`.
        """
        found = {(config.devices, config.nodes): name for name, config in self._configs.items()}
        if len(found) > 1:
            told = ", ".join(f"{name} {devices} and {nodes}" for (devices, nodes), name in found.items())
            raise UserError(f"devices, nodes: must be the same for all variants of a study: {told}")
        counts = next(iter(found))
        if counts != (1, 1) and len({config.device for config in self._configs.values()}) > 1:
            raise UserError("device: must be the same for all variants of a study that several processes do together")
        return counts

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
