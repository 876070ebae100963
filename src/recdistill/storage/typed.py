"""JSON files read once, strictly, into the types that the code behind works with.

A file's form is a `TypedDict` or a dataclass. What is missing, unknown or of another type is an error that names the
file and the key, so that nothing behind it has to ask again.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    ForwardRef,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from recdistill.errors import UserError
from recdistill.storage.files import read_json

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
"""What JSON can hold, where nothing more is known."""
ITSELF = ForwardRef("JsonValue")
"""That type within itself, which is a name that is not looked up."""
T = TypeVar("T")
Form = tuple[Mapping[str, object], frozenset[str]]
"""Types by key, and the keys that must be there."""
PLAIN: dict[type, tuple[tuple[type, ...], str]] = {
    NoneType: ((NoneType,), "null"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    object: ((object,), "anything"),
}
"""Type → what JSON may hold for it, and what that is called."""


class _Mismatch(Exception):  # noqa: N818 (turned into a UserError by `typed`)
    """A value is not of its type: the key, from the innermost outwards, and what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.keys: list[str] = []


def read_typed(path: Path, kind: type[T]) -> T:
    """Read a JSON file of this form.

    Raises:
        UserError: the file cannot be read, is not JSON or has another form; names the first key that differs.
    """
    return typed(read_json(path), kind, str(path))


def read_optional(path: Path, kind: type[T]) -> T | None:
    """The same; None where there is no such file."""
    return read_typed(path, kind) if path.is_file() else None


def typed(value: object, kind: type[T], where: str) -> T:
    """A value from JSON as this type; dataclasses and named tuples are made, all else stays what it is.

    Args:
        value: from JSON.
        kind: a `TypedDict`, a dataclass, a named tuple, or a type of lists, dicts, tuples, unions, literals and plain
            values.
        where: stands before the message: the file.

    Raises:
        UserError: it is not; names the key.
    """
    try:
        found: T = _read(value, kind)
    except _Mismatch as error:
        key = ".".join(reversed(error.keys))
        raise UserError(f"{where}: {f'{key}: ' if key else ''}{error}") from error
    return found


def _read(value: Any, kind: Any) -> Any:
    if kind in PLAIN:
        return _plain(value, kind)
    if kind is Any or kind == ITSELF:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired):
        return _read(value, inner[0])
    if is_typeddict(kind):
        return _fields(value, *_typed_dict(kind))
    if hasattr(kind, "_fields"):
        return kind(**_fields(value, *_named_tuple(kind)))
    if is_dataclass(kind):
        return kind(**_fields(value, *_dataclass(kind)))  # type: ignore[arg-type, operator]
    if origin is Literal:
        if value not in inner:
            raise _Mismatch(f"{value!r} is not one of {', '.join(map(str, inner))}")
        return value
    if origin in (Union, UnionType):
        return _either(value, inner)
    return _several(value, kind, origin, inner)


def _plain(value: Any, kind: type) -> Any:
    kinds, words = PLAIN[kind]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind in (int, float)):
        raise _Mismatch(f"{_shown(value)} is not {words}")
    return value


def _several(value: Any, kind: Any, origin: Any, inner: tuple[Any, ...]) -> Any:
    """Lists, tuples and dicts."""
    if origin is dict:
        if not isinstance(value, dict):
            raise _Mismatch(f"{_shown(value)} is not an object")
        return {_read(key, inner[0]): _at(key, item, inner[1]) for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise _Mismatch(f"{_shown(value)} is not a list")
        if origin is list and inner[0] is str and all(type(item) is str for item in value):
            return list(value)  # the ids of a million items, at once
        if origin is list or inner[1:] == (...,):
            return origin(_at(str(place), item, inner[0]) for place, item in enumerate(value))
        if len(value) != len(inner):
            raise _Mismatch(f"has {len(value)} entries instead of {len(inner)}")
        return tuple(_at(str(place), *pair) for place, pair in enumerate(zip(value, inner, strict=True)))
    raise TypeError(f"{kind}: no form of JSON")


def _either(value: Any, kinds: tuple[Any, ...]) -> Any:
    """The first of several types that fits; where none does, what the one says that is nearest."""
    nearest: _Mismatch | None = None
    for kind in kinds:
        try:
            return _read(value, kind)
        except _Mismatch as error:
            if nearest is None or error.keys or (kind not in PLAIN and isinstance(value, dict | list)):
                nearest = error
    raise nearest or TypeError("a union of nothing")


def _at(key: str, value: Any, kind: Any) -> Any:
    try:
        return _read(value, kind)
    except _Mismatch as error:
        error.keys.append(str(key))
        raise


def _fields(value: object, hints: Mapping[str, object], needed: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Mismatch(f"{_shown(value)} is not an object")
    if missing := [name for name in hints if name in needed and name not in value]:
        raise _Mismatch(f"{missing[0]}: missing")
    if unknown := [name for name in value if name not in hints]:
        raise _Mismatch(f"{unknown[0]}: unknown; another version of recdistill wrote this file")
    return {name: _at(name, item, hints[name]) for name, item in value.items()}


@cache
def _typed_dict(kind: Any) -> Form:
    return get_type_hints(kind), kind.__required_keys__


@cache
def _dataclass(kind: Any) -> Form:
    hints = get_type_hints(kind)
    made = [one for one in fields(kind) if one.init]
    needed = [one.name for one in made if one.default is MISSING and one.default_factory is MISSING]
    return {one.name: hints[one.name] for one in made}, frozenset(needed)


@cache
def _named_tuple(kind: Any) -> Form:
    return get_type_hints(kind), frozenset(kind._fields) - frozenset(kind._field_defaults)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
