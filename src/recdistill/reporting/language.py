"""What a report says in one language: its messages (:mod:`recdistill.reporting.catalogue`) and the models' names."""

from pathlib import Path

from recdistill.languages import LOCALES
from recdistill.reporting.catalogue import catalogue

MODELS = (
    "popularity", "neighbours", "cooccurrence", "item_knn", "ease", "student", "teacher", "distilled", "oracle",
)  # fmt: skip
"""The models that have a name in every language."""


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

    def name(self, model: str) -> str:
        """What a model is called in a sentence; one that has no name of its own keeps its key."""
        return self(model) if model in MODELS else model

    def short(self, model: str) -> str:
        """What a model is called where there is little room: its key in English."""
        return model if self.language == "en" else self.name(model)

    def label(self, model: str) -> str:
        """What a model is called at the head of a row, with its key, which the drawings use."""
        return model if self.short(model) == model else f"{self.short(model)} ({model})"
