"""The languages of the reports: one file of messages each, in the package's `locales`; messages yet to be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

LOCALES = Path(__file__).with_name("locales")
LANGUAGES = tuple(sorted(path.stem for path in LOCALES.glob("*.ftl")))

if TYPE_CHECKING:
    Language = str
else:  # what a setting may be is what there are files for
    Language = Literal[LANGUAGES]


class Kept(TypedDict):
    """A message as JSON holds it."""

    key: str
    values: dict[str, "str | int | Kept"]


@dataclass(frozen=True)
class Message:
    """Something to be told in a language that is not known yet: kept as it is, and told when a report is made.

    Attributes:
        key: the message's name in each language's file.
        values: what is filled in; a value may be a message itself.
    """

    key: str
    values: dict[str, "str | int | Message"]

    def kept(self) -> Kept:
        """The same as JSON holds it."""
        values = {name: one.kept() if isinstance(one, Message) else one for name, one in self.values.items()}
        return {"key": self.key, "values": values}


def message(key: str, **values: str | int | Message) -> Message:
    """The message called `key` with `values`."""
    return Message(key, values)
