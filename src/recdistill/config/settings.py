"""Dotted settings to a `RunConfig`, with the command line's own reading of names, types and ranges."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, is_dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from recdistill.config import RunConfig
from recdistill.config.mistakes import check_settings, did_you_mean, settings_of, told
from recdistill.config.renamed import new_name
from recdistill.config.yaml_files import BLANK, parse_yaml
from recdistill.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def run_config(settings: Mapping[str, object]) -> RunConfig:
    """The configuration that these nested settings make; what they leave out is as everywhere else.

    Raises:
        UserError: names the key that is unknown, of the wrong type or out of range.
    """
    # A study or a matrix asks for the same ones again and again, and reading takes a tenth of a second.
    return _read(_Asked(settings))


class _Asked:
    """Settings that can be looked up: equal where they are written alike, types included (`1` is not `1.0`)."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = deepcopy(dict(settings))  # whoever asked may change theirs
        self._written = repr(self.settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._written == other._written

    def __hash__(self) -> int:
        return hash(self._written)


@lru_cache(maxsize=1024)
def _read(asked: _Asked) -> RunConfig:
    settings = deepcopy(asked.settings)
    parser, known = _parser(), settings_of(RunConfig)
    check_settings(flat(settings), known)
    try:
        said = parser.parse_object(settings, defaults=False)  # with them, each would be read anew, for .2 s
    except ArgumentError as error:
        raise UserError(told(" ".join(str(error).split()), known)) from error
    return with_settings(RunConfig(), said.as_dict())


Config = TypeVar("Config", bound="DataclassInstance")


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with nested settings of the right types in the place of its own.

    Raises:
        UserError: they do not go together.
    """
    changed = {}
    for name, value in settings.items():
        before = getattr(config, name)
        is_section = is_dataclass(before) and not isinstance(before, type) and isinstance(value, Mapping)
        changed[name] = with_settings(before, value) if is_section else value
    return replace(config, **changed)


@cache
def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RunConfig, None)
    return parser


def assigned(words: Sequence[str]) -> dict[str, object]:
    """`["evaluate.split=test", "distill.weight=2"]` as dotted settings; values are read as in a YAML file.

    Blank is the default, which is then above what a file says; so it is with a whole section.

    Raises:
        UserError: a word has no `=`, its key is unknown, or its value is no YAML.
    """
    settings: dict[str, object] = {}
    defaults = flat(asdict(RunConfig()))
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UserError(f"set: {word!r} is not KEY=VALUE")
        try:
            value = parse_yaml(text)
        except yaml.YAMLError as error:
            raise UserError(f"set: {key}: {text!r} cannot be read") from error
        if value is BLANK:
            blank = {name: default for name, default in defaults.items() if name == key or name.startswith(f"{key}.")}
            if not blank:
                raise UserError(f"set: {key}: unknown{new_name(key) or did_you_mean(key, defaults)}")
            settings |= blank
        else:
            settings[key] = value
    return settings


def nested(dotted: Mapping[str, object]) -> dict[str, object]:
    """`{"teacher.train.batch_size": 8}` as `{"teacher": {"train": {"batch_size": 8}}}`.

    Raises:
        UserError: one key is another's part.
    """
    result: dict[str, object] = {}
    for key, value in dotted.items():
        *path, last = key.split(".")
        place = result
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UserError(f"{key}: {part} is set to a value already")
            place = inner
        if value == {}:
            place.setdefault(last, {})  # An empty section takes nothing away.
        else:
            place[last] = value
    return result


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """The reverse of :func:`nested`; an empty section is its key and `{}`."""
    result: dict[str, object] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        result |= flat(value, name) if isinstance(value, Mapping) and value else {name: value}
    return result
