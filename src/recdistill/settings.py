"""Dotted settings to a `RunConfig`, with the command line's own reading of names, types and ranges."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from recdistill.config import RunConfig
from recdistill.errors import UserError


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """The configuration that these nested settings make; what they leave out is as everywhere else.

    Raises:
        UserError: names the key that is unknown, of the wrong type or out of range.
    """
    parser = _parser()
    try:
        read = parser.instantiate(parser.parse_object(dict(settings)))
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from error
    return RunConfig(**{field.name: read[field.name] for field in fields(RunConfig)})


@cache
def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RunConfig, None)
    return parser


def assigned(words: Sequence[str]) -> dict[str, Any]:
    """`["evaluate.split=test", "distill.weight=2"]` as dotted settings; values are read as in a YAML file.

    Raises:
        UserError: a word has no `=`, or its value is no YAML.
    """
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"set: {word!r} is not KEY=VALUE")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"set: {key}: {value!r} cannot be read") from error
    return settings


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """`{"teacher.train.batch_size": 8}` as `{"teacher": {"train": {"batch_size": 8}}}`.

    Raises:
        UserError: one key is another's part.
    """
    result: dict[str, Any] = {}
    for key, value in dotted.items():
        *path, last = key.split(".")
        place = result
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UserError(f"{key}: {part} is set to a value already")
        place[last] = value
    return result


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The reverse of :func:`nested`; empty sections vanish."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        result |= flat(value, name) if isinstance(value, Mapping) else {name: value}
    return result
