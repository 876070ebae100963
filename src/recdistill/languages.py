"""The languages of the reports: one file of messages each, in the package's `locales`; messages yet to be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

LOCALES = Path(__file__).with_name("locales")
LANGUAGES = tuple(sorted(path.stem for path in LOCALES.glob("*.ftl")))

if TYPE_CHECKING:
    Language = str
else:  # what a setting may be is what there are files for
    Language = Literal[LANGUAGES]


@dataclass(frozen=True)
class Message:
    """Something to be told in a language that is not known yet: kept as it is, and told when a report is made.

    Attributes:
        key: the message's name in each language's file.
        values: what is filled in; a value may be a message itself.
    """

    key: str
    values: dict[str, "str | int | Message"]


def message(key: str, **values: str | int | Message) -> Message:
    """The message called `key` with `values`."""
    return Message(key, values)
