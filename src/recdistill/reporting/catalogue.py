"""Messages of one language, read from a Fluent file (https://projectfluent.org) and checked as they are filled in."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from recdistill.languages import LOCALES


class MessageError(LookupError):
    """A file of messages is broken, or a message is asked for that it does not have or not with these values."""


class Catalogue:
    """The messages of one language.

    A message shows numbers as they are given: a whole number without grouping, a text unchanged. Decimals and grouping
    are chosen in code, so that a figure reads alike in all languages.

    Attributes:
        language: code of the language, the file's name.
        variables: for each message the names of the values that it shows or chooses by.

    Raises:
        MessageError: there is no such file, it cannot be parsed, a message is there twice or has no text.
    """

    def __init__(self, language: str, folder: Path = LOCALES) -> None:
        from fluent.runtime import FluentBundle, FluentResource  # imported late: it takes a fifth of a second

        path = folder / f"{language}.ftl"
        if not path.is_file():
            raise MessageError(f"{path}: there is no such file of messages")
        resource = FluentResource(path.read_text(encoding="utf-8"))
        self.language = language
        self.variables = _variables(resource.body, path)
        self._bundle = FluentBundle([language], use_isolating=False)
        self._bundle.add_resource(resource)

    def __contains__(self, key: str) -> bool:
        return key in self.variables

    def format(self, key: str, values: Mapping[str, str | int]) -> str:
        """The message called `key`, with `values` filled in.

        Raises:
            MessageError: there is no such message, or its values are others than those given.
            TypeError: a value is neither a text nor a whole number.
        """
        if key not in self.variables:
            raise MessageError(f"{self.language}: no message is called {key!r}")
        if values.keys() != self.variables[key]:
            wanted, given = (", ".join(sorted(names)) or "none" for names in (self.variables[key], values))
            raise MessageError(f"{self.language}: {key}: the message's values are {wanted}; given: {given}")
        pattern: Any = self._bundle.get_message(key).value  # none is empty: that was looked at when it was read
        text, errors = self._bundle.format_pattern(pattern, {name: _argument(each) for name, each in values.items()})
        if errors:
            raise MessageError(f"{self.language}: {key}: {errors[0]}")
        return str(text)


@cache
def catalogue(language: str, folder: Path = LOCALES) -> Catalogue:
    """The messages of a language, read once."""
    return Catalogue(language, folder)


def _argument(value: str | int) -> Any:
    """A value as Fluent takes it; whole numbers stay numbers, so that a message can choose a plural by them."""
    from fluent.runtime.types import fluent_number

    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r}: a message takes texts and whole numbers; format it first")
    return fluent_number(value, useGrouping=False)


def _variables(entries: list[Any], path: Path) -> dict[str, frozenset[str]]:
    """The values of each message. The library itself skips what it cannot parse and keeps the first of two alike."""
    from fluent.syntax import ast

    found: dict[str, frozenset[str]] = {}
    for entry in entries:
        if isinstance(entry, ast.Junk):
            raise MessageError(f"{path}: cannot be parsed from here: {_first_line(entry.content)!r}")
        if not isinstance(entry, ast.Message):
            continue
        if entry.id.name in found:
            raise MessageError(f"{path}: {entry.id.name} is there twice")
        if entry.value is None:
            raise MessageError(f"{path}: {entry.id.name} has no text")
        found[entry.id.name] = frozenset(_named(entry.value, path))
    return found


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _named(node: Any, path: Path) -> Iterator[str]:
    """Names of the values within a part of a message.

    Raises:
        MessageError: it refers to another message, whose values could not be told from here.
    """
    from fluent.syntax import ast

    if isinstance(node, ast.VariableReference):
        yield node.id.name
    elif isinstance(node, ast.MessageReference | ast.TermReference):
        raise MessageError(f"{path}: a message refers to {node.id.name}; write its text out")
    elif isinstance(node, ast.BaseNode):
        for part in vars(node).values():
            yield from _named(part, path)
    elif isinstance(node, list):
        for part in node:
            yield from _named(part, path)
