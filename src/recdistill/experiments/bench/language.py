"""The bench's own messages; those that all reports share are the package's."""

from recdistill.experiments.bench.matrix import Section
from recdistill.reporting.language import Texts

OWN = "bench_"
"""Before the names of the bench's own messages."""


class BenchTexts(Texts):
    """The messages of one language: the bench's own, then the package's."""

    def __call__(self, key: str, **values: str | int) -> str:
        """The message called `key`, with `values` filled in."""
        own = f"{OWN}{key}"
        return super().__call__(own if own in self.messages else key, **values)

    def of(self, texts: dict[str, str]) -> str:
        """The one of a matrix's texts that is in this language."""
        return texts[self.language]

    def section(self, section: Section) -> str:
        """A section's title."""
        return self.of(section.titles)
