"""What a recommender answers: items, why each is there, and what the answer rests on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

Model = Literal["distilled", "student"]
Source = Literal["model", "popularity"]


class Reason(NamedTuple):
    """One item of the history and what it did for a recommended item.

    Attributes:
        item_id: the person's own id of the history's item.
        title: its title; the id where it has none.
        weight: the recommended item's score with the whole history minus its score with this item left out; positive
            where the item speaks for the recommendation.
    """

    item_id: str
    title: str
    weight: float


class Recommendation(NamedTuple):
    """One item to choose next.

    Attributes:
        item_id: the person's own id of the item.
        title: its title; the id where it has none.
        score: the model's score, or a count of training interactions where popularity answers; only differences within
            one answer mean anything.
        because: the items of the history that weighed most, the weightiest first; empty where nobody asked.
    """

    item_id: str
    title: str
    score: float
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Answer(Sequence[Recommendation]):
    """The best items after one history, best first; a sequence of them.

    Attributes:
        items: the recommendations.
        unknown: entries of the history that no item is called, which were skipped.
        source: `popularity` where nothing of the history was left to go by, and the most popular items are listed.
    """

    items: tuple[Recommendation, ...]
    unknown: tuple[str, ...] = ()
    source: Source = "model"

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Recommendation, ...]: ...

    def __getitem__(self, index: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        """One item, or some."""
        return self.items[index]

    def __iter__(self) -> Iterator[Recommendation]:
        """The items, best first."""
        return iter(self.items)


@dataclass(frozen=True)
class About:
    """What answers.

    Attributes:
        name: what the bundle or the run is called.
        fingerprint: tells two of one name apart; it follows from the files' contents.
        version: of recdistill, by which the model's files were written; empty where nothing says so.
        model: `distilled` or `student`.
        num_items: items N of the catalog.
        max_length: latest items of a history that the model looks at.
        exclude_seen: whether an answer leaves the items of the history out, where a call does not say.
    """

    name: str
    fingerprint: str
    version: str
    model: str
    num_items: int
    max_length: int
    exclude_seen: bool
