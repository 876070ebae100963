"""What a report says in one language: its messages (:mod:`recdistill.reporting.catalogue`) and the models' names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recdistill.config import BASELINES
from recdistill.languages import LOCALES
from recdistill.reporting.catalogue import catalogue
from recdistill.steps import TRAINED

MODELS = (*BASELINES, *TRAINED, "titled", "oracle")
"""The models that have a name in every language."""


def is_message(kept: Any) -> bool:
    """Whether a value from JSON is a message that was kept to be told."""
    return isinstance(kept, Mapping) and kept.keys() == {"key", "values"}


class Texts:
    """The messages of one language.

    Args:
        language: its code; `<language>.ftl` holds the messages.
        folder: where that file is.

    Raises:
        MessageError: the file is not there or is broken.
    """

    def __init__(self, language: str, folder: Path = LOCALES) -> None:
        self.language = language
        self.messages = catalogue(language, folder)

    def __call__(self, key: str, **values: str | int) -> str:
        """The message called `key`, with `values` filled in.

        Raises:
            MessageError: there is no such message, or its values are others than those given.
        """
        return self.messages.format(key, values)

    def told(self, kept: Any) -> str:
        """What was kept as a :class:`recdistill.languages.Message`, or as several, as JSON holds them.

        Earlier versions kept English sentences; those stay as they are.
        """
        if isinstance(kept, str):
            return kept
        if is_message(kept):
            return self(kept["key"], **{name: self._value(each) for name, each in kept["values"].items()})
        return self("separator").join(map(self.told, kept))

    def _value(self, kept: Any) -> str | int:
        return kept if isinstance(kept, int) else self.told(kept)

    def name(self, model: str) -> str:
        """What a model is called in a sentence; one that has no name of its own keeps its key."""
        return self(model) if model in MODELS else model

    def slice_name(self, name: str, kind: str, first: int, last: int) -> str:
        """What a slice is called: its name, what it is cut by, and its smallest and largest value."""
        span = str(first) if first == last else self("slice_span", first=first, last=last)
        return self("slice_cold" if name == "cold" else f"slice_{kind}", span=span)

    def short(self, model: str) -> str:
        """What a model is called where there is little room: its key in English."""
        return model if self.language == "en" else self.name(model)

    def label(self, model: str) -> str:
        """What a model is called at the head of a row, with its key, which commands and files use."""
        return model if self.short(model) == model else f"{self.short(model)} ({model})"

    def step(self, name: str) -> str:
        """What a step is called where there is little room: its key in English."""
        return name if self.language == "en" else self(f"step_{name}")

    def phase(self, name: str) -> str:
        """What a phase is called; one without a message keeps its name."""
        verb, _, model = name.partition(" ")
        key = f"phase_{name.replace(' ', '_').replace('-', '_')}"
        if key in self.messages:
            return self(key)
        if verb in ("load", "rank") and model:
            return self(f"phase_{verb}", model=self.short(model))
        return name
