"""What stands with a setting's field: the range of its values, what makes a run read it, and what shows its effect.

A field made by :func:`setting` carries these as metadata. The checks (:func:`check_ranges`), the values told by
docs/configuration.md, the warnings of :mod:`recdistill.config.unread` and the judgements of
:mod:`recdistill.measure.settings_check` follow from there.
"""

import math
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from recdistill.errors import UserError

Value = TypeVar("Value")
RANGE, READ_WITH, TAKEN_WITH, EVIDENCE = "range", "read_with", "taken_with", "evidence"


@dataclass(frozen=True)
class Range:
    """Numbers that a setting takes.

    Attributes:
        holds: whether a number is one of them.
        words: what they are, after `it must be`.
    """

    holds: Callable[[float], bool]
    words: str


POSITIVE = Range(lambda value: 0 < value < math.inf, "above 0, and finite")
NOT_NEGATIVE = Range(lambda value: 0 <= value < math.inf, "0 or more, and finite")
FINITE = Range(math.isfinite, "finite")
FRACTION = Range(lambda value: 0 <= value < 1, "at least 0 and below 1")
INNER_SHARE = Range(lambda value: 0 < value < 1, "between 0 and 1")
SHARE = Range(lambda value: 0 <= value <= 1, "between 0 and 1")
POSITIVE_SHARE = Range(lambda value: 0 < value <= 1, "above 0 and at most 1")
ABOVE_ZERO = Range(lambda value: value > 0, "above 0")


def at_least(least: int) -> Range:
    """Numbers from `least` on."""
    return Range(lambda value: value >= least, f"{least} or more")


def between(least: int, most: int) -> Range:
    """Numbers from `least` to `most`, both included."""
    return Range(lambda value: least <= value <= most, f"between {least} and {most}")


@dataclass(frozen=True)
class Need:
    """What another setting must be for this one to be read.

    Attributes:
        key: its dotted key; with a dot in front one of the same section, with two one of the section around it.
        met: whether its value is such.
        words: what it must be, `{key}` standing for the whole key.
        other: another way to be read, in sections that have its key.
    """

    key: str
    met: Callable[[Any], bool]
    words: str
    other: "Need | None" = None


def given(key: str, *values: Any, said: str = "", other: Need | None = None) -> Need:
    """Read where `key` has one of these values; `said` tells them in other words."""
    words = ["null" if value is None else str(value).lower() if value is True else str(value) for value in values]
    listed = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return Need(key, lambda value: value in values, f"{{key}}: {said or listed}", other)


def unless(key: str, *values: Any) -> Need:
    """Read where `key` has none of these values."""
    return Need(key, lambda value: value not in values, "another {key}")


def among(key: str, value: Any) -> Need:
    """Read where the list `key` holds this value."""
    return Need(key, lambda values: value in values, f"{value} among {{key}}")


def nonzero(key: str) -> Need:
    """Read where the number `key` is above 0, or to be chosen."""
    return Need(key, bool, "{key} above 0")


def setting(
    default: Value, within: Range | None = None, *, read_with: Need | tuple[Need, ...] = (), evidence: str = ""
) -> Value:
    """A dataclass field with its range and with what makes it read, the first need that is not met being told.

    Values that are no numbers (`auto`, null) have no range. A section of settings is :func:`section`.

    Args:
        default: its value where nothing is said.
        within: its range.
        read_with: what makes a run read it.
        evidence: its judge in `recdistill.measure.settings_check`; empty: nothing shows whether it was in effect.
    """
    made: Any = field(default=default, metadata={RANGE: within, READ_WITH: _several(read_with), EVIDENCE: evidence})
    return made  # type: ignore[no-any-return]


def like(part: Any, name: str, default: Any = MISSING) -> Any:
    """A dataclass field that is another section's: with its range, and with its value for the default.

    Args:
        part: that section.
        name: of its field.
        default: in place of its value.
    """
    found = next(one for one in fields(part) if one.name == name)
    value = getattr(part, name) if default is MISSING else default
    return field(default=value, metadata={RANGE: range_of(found), READ_WITH: ()})


def section(
    kind: Callable[[], Value], *, read_with: Need | tuple[Need, ...] = (), taken_with: Need | tuple[Need, ...] = ()
) -> Value:
    """A dataclass field that is a section of settings, with what makes all of them read.

    `taken_with` is what makes the section's step taken at all; where it is not, its settings are not told as unread.
    """
    metadata = {READ_WITH: _several(read_with), TAKEN_WITH: _several(taken_with)}
    made: Any = field(default_factory=kind, metadata=metadata)
    return made  # type: ignore[no-any-return]


def _several(needs: Need | tuple[Need, ...]) -> tuple[Need, ...]:
    return (needs,) if isinstance(needs, Need) else needs


def range_of(one: "Field[Any]") -> Range | None:
    """A field's range; None where its type says all."""
    found: Range | None = one.metadata.get(RANGE)
    return found


def needs_of(one: "Field[Any]") -> tuple[Need, ...]:
    """What a field is read with; nothing where it is always read."""
    found: tuple[Need, ...] = one.metadata.get(READ_WITH, ())
    return found


def evidence_of(one: "Field[Any]") -> str:
    """The name of the judge of a field; empty where nothing shows its effect."""
    found: str = one.metadata.get(EVIDENCE, "")
    return found


def taken_with(one: "Field[Any]") -> tuple[Need, ...]:
    """What a section's step is taken with; nothing where it always is."""
    found: tuple[Need, ...] = one.metadata.get(TAKEN_WITH, ())
    return found


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise a :class:`UserError` that names `key` unless `condition` holds."""
    if not condition:
        raise UserError(f"{key}: {value!r} is out of range; it must be {rule}")


def check_ranges(part: Any, prefix: str) -> None:
    """Each field of a section must be within its range; `prefix` is the section's dotted key.

    Raises:
        UserError: names the key of the first that is not.
    """
    for one in fields(part):
        value, within = getattr(part, one.name), range_of(one)
        if within is not None and isinstance(value, int | float):
            require(within.holds(value), f"{prefix}.{one.name}" if prefix else one.name, value, within.words)
