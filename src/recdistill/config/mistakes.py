"""Settings that a person got wrong, told by their dotted key, in plain words, with the nearest name there is."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recdistill.config.renamed import new_name, new_value
from recdistill.errors import UserError

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null"}
LIKE = 0.7
"""Least likeness (difflib's ratio) of a name that is offered for another."""
OFFERED = 3
"""Most names offered."""

VALUE = re.compile(r'Parser key "([^"]+)": .*?(?:Got|Given) value:(.*)')
TYPE = re.compile(r"Parser key \"([^\"]+)\": Expected a <class '(int|float)'>\. Got value:(.*)")
SECTION = re.compile(r'Parser key "([^"]+)": Unable to load config')
NOT_ACCEPTED = re.compile(
    r"(?:Group '([^']+)' does not accept o|Subcommand '[^']+' does not accept o|O)ption '([^']+)'"
)
OPTION = re.compile(r"unrecognized arguments: (--[^ =]+)")
COMMAND = re.compile(r"argument command: invalid choice: '([^']*)' \(choose from (.*)\)")
CHOICE = re.compile(r"argument (\S+): invalid choice: '([^']*)' \(choose from (.*)\)")
NO_COMMAND = 'expected "command" to be one of'
WORD = re.compile(r"unrecognized arguments: ([^-\s]\S*)")
MISSING = re.compile(r"the following arguments are required: (.*)")
"""The forms of jsonargparse's and argparse's complaints, each on one line."""


@cache
def settings_of(kind: type) -> dict[str, object]:
    """Dotted key of each setting and each section of a dataclass, with its type; a section's type is a dataclass."""
    found: dict[str, object] = {}
    for name, hint in get_type_hints(kind).items():
        found[name] = hint
        if is_dataclass(hint):
            assert isinstance(hint, type)
            found |= {f"{name}.{key}": inner for key, inner in settings_of(hint).items()}
    return found


def in_words(hint: Any) -> str:
    """A type in words: `whole number or null`, `en, ja`."""
    if get_origin(hint) is Literal:
        return ", ".join(get_args(hint))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(in_words(kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        return "list of " + in_words(get_args(hint)[0])
    return WORDS[hint]


def did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    """`; did you mean …?` with the known names most like `word`; empty where none is like it.

    Args:
        word: what was written.
        known: what there is.
        before: stands in front of each name that is offered, as `--`.
    """
    names = list(known)
    found = [name for name in names if name.endswith(f".{word}")][:OFFERED]
    found = found or difflib.get_close_matches(word, names, n=1, cutoff=LIKE)
    return f"; did you mean {' or '.join(before + name for name in found)}?" if found else ""


def check_settings(settings: Mapping[str, object], known: Mapping[str, object], others: Iterable[str] = ()) -> None:
    """Refuse what can be refused of settings by their names alone, and null where it makes no sense.

    Args:
        settings: dotted keys and values; an empty section is `{}`.
        known: keys and types as :func:`settings_of` gives them.
        others: keys that are known elsewhere and passed over here.

    Raises:
        UserError: a key is unknown, a section has a value, a setting has settings below it, or null.
    """
    for key, value in settings.items():
        if key in others:
            continue
        hint = known.get(key)
        if hint is None:
            raise UserError(f"{key}: unknown{new_name(key) or did_you_mean(key, known)}")
        if is_dataclass(hint):
            if value != {}:
                raise UserError(
                    f"{key}: {_shown(value)} is no value of it; it holds settings, such as {_first(key, known)}"
                )
        elif value is None and NoneType not in get_args(hint):
            raise UserError(f"{key}: null is not {_article(hint)}; leave it blank for the default")
        elif isinstance(value, Mapping):
            raise UserError(f"{key}: {_shown(value)} is not {_article(hint)}")


def told(complaint: str, known: Mapping[str, object], options: Iterable[str] = ()) -> str:
    """A complaint of jsonargparse or argparse, in the words of :func:`check_settings`.

    Args:
        complaint: on one line.
        known: the settings, as :func:`settings_of` gives them.
        options: the options of the command, without their `--`.
    """
    if (found := VALUE.search(complaint)) and found[1] in known:
        return _wrong_value(found[1], found[2].strip(), known[found[1]])
    if (found := SECTION.search(complaint)) and found[1] in known:
        return f"{found[1]}: takes no value; it holds settings, such as {_first(found[1], known)}"
    if found := NOT_ACCEPTED.search(complaint):
        key = f"{found[1]}.{found[2]}" if found[1] else found[2]
        return f"{key}: unknown{new_name(key) or did_you_mean(key, known)}"
    if found := OPTION.search(complaint):
        word = found[1].removeprefix("--")
        return f"{found[1]}: no such option{new_name(word) or did_you_mean(word, options, '--')}"
    if found := COMMAND.search(complaint):
        names = found[2].replace("'", "").split(", ")
        return f"{found[1]}: no such command{did_you_mean(found[1], names) or '; there are ' + ', '.join(names)}"
    return _wrong_words(complaint, options)


def _wrong_words(complaint: str, options: Iterable[str]) -> str:
    """What is wrong with words of a command that are no options, or the complaint itself."""
    if complaint.startswith(NO_COMMAND):
        return "missing: a command; recdistill --help lists them"
    if found := TYPE.search(complaint):
        kinds = {"int": int, "float": float}
        return f"{found[1]}: {found[3].strip()} is not a {WORDS[kinds[found[2]]]}"
    if found := CHOICE.search(complaint):
        names = found[3].replace("'", "").split(", ")
        offered = did_you_mean(found[2], names)
        return f"{found[1]}: {found[2]} is not one of {', '.join(names)}{offered}"
    if found := WORD.search(complaint):
        place = f"; name a run by --run {found[1]}" if "run" in options else ""
        return f"{found[1]}: this command takes no such word{place}"
    if found := MISSING.search(complaint):
        return f"missing: {', '.join(name.rpartition('.')[2] for name in found[1].split(', '))}; --help shows them"
    return complaint


def _wrong_value(key: str, value: str, hint: Any) -> str:
    kinds = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    shown = "null" if value == "None" and NoneType not in kinds else value or "''"
    quotes = "; put it in quotes" if hint is str and value not in ("", "None") else ""
    return f"{key}: {shown} is not {_article(hint)}{quotes}{new_value(key, value) or did_you_mean(value, choices)}"


def _article(hint: Any) -> str:
    """The words with what stands before them in a sentence: `a whole number`, `one of en, ja`."""
    words = in_words(hint)
    if get_origin(hint) is tuple:
        return f"a {words}, such as [a, b], or [] for none"
    return f"one of {words}" if get_origin(hint) is Literal else words if hint in (bool, str) else f"a {words}"


def _first(section: str, known: Mapping[str, object]) -> str:
    """The first setting of a section."""
    return next(key for key, hint in known.items() if key.startswith(f"{section}.") and not is_dataclass(hint))


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)
