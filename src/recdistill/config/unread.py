"""Settings that were changed and that nothing reads, given the others: told before a run, since a person who changed
them expects something of them. What a setting is read with stands with its field (:mod:`recdistill.config.rules`).
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from recdistill.config import RunConfig
from recdistill.config.rules import Need, needs_of, taken_with


class Conditional(NamedTuple):
    """A setting that is read under conditions.

    Attributes:
        key: its dotted key.
        needs: the conditions, those of its sections first.
        taken: those under which its step is taken at all; else the step's own switch says all there is to say.
    """

    key: str
    needs: tuple[Need, ...]
    taken: tuple[Need, ...]


def unread_settings(config: RunConfig) -> list[str]:
    """A sentence for each setting that is not what it is by default and that nothing reads.

    Returns:
        Sentences such as `student.loss.negatives: 64 is not read without student.loss.name: a sampled loss`.
    """
    default, sentences = RunConfig(), []
    for key, needs, taken in conditional_settings(default):
        value = value_of(config, key)
        if value == value_of(default, key) or not all(_met(config, key, need) for need in taken):
            continue
        missing = next((need for need in needs if not _met(config, key, need)), None)
        if missing is not None:
            words = missing.words.format(key=whole_key(key, missing.key))
            sentences.append(f"{key}: {value} is not read without {words}")
    return sentences


def conditional_settings(
    part: Any, prefix: str = "", needs: tuple[Need, ...] = (), taken: tuple[Need, ...] = ()
) -> Iterator[Conditional]:
    """All settings of a section, and of those in it, that are not always read."""
    for one in fields(part):
        key, value = f"{prefix}{one.name}", getattr(part, one.name)
        all_needs = needs + needs_of(one)
        if is_dataclass(value):
            yield from conditional_settings(value, f"{key}.", all_needs, taken + taken_with(one))
        elif all_needs:
            yield Conditional(key, all_needs, taken)


def whole_key(key: str, other: str) -> str:
    """The dotted key that a need of the setting `key` speaks of.

    >>> whole_key("student.loss.negatives", ".name")
    'student.loss.name'
    >>> whole_key("teacher.train.batch_size", "..compile")
    'teacher.compile'
    """
    name = other.lstrip(".")
    around = key.split(".")[: -(len(other) - len(name))] if name != other else []
    return ".".join([*around, name])


def value_of(config: RunConfig, key: str) -> Any:
    """The value of a dotted setting.

    Raises:
        AttributeError: there is none of that name.
    """
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


def _met(config: RunConfig, key: str, need: Need) -> bool:
    return need.met(value_of(config, whole_key(key, need.key))) or (
        need.other is not None and _is_there(config, whole_key(key, need.other.key)) and _met(config, key, need.other)
    )


def _is_there(config: RunConfig, key: str) -> bool:
    section, _, name = key.rpartition(".")
    return hasattr(value_of(config, section) if section else config, name)
