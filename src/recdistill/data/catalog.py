"""The items: numbers inside, external ids and titles outside, and finding an item by what a person types."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rapidfuzz import fuzz, process

from recdistill.errors import UserError

MatchKind = Literal["id", "title", "name", "words", "part", "similar"]
SCORES: dict[MatchKind, float] = {"id": 100, "title": 99, "name": 98, "words": 90, "part": 80, "similar": 70}
"""The best score of each kind of match; the ranges do not overlap, so sorting by score sorts by kind."""

LEAST_SIMILARITY = 75.0
"""Similarity, of 100, that a mistyped title must have."""

PIECE_WEIGHT = 0.95
"""What likeness to a piece of a title counts, where likeness to all of it counts 1."""

CLEAR_LEAD = 3.0
"""By how much the most similar title must lead before it counts as the one that was meant."""

NEAREST = 3
"""Titles suggested where nothing was found."""

ARTICLES = "the|a|an|le|la|les|il|el|los|las|der|die|das"
ARTICLE_BEHIND = re.compile(rf"^(.*), ({ARTICLES})(\s*\(.*)?$", re.IGNORECASE)
ARTICLE_IN_FRONT = re.compile(rf"^({ARTICLES}) ")
YEAR_BEHIND = re.compile(r"\s*\(\d{4}\)\s*$")
ACCENTS = re.compile("[\u0300-\u036f]")
APOSTROPHES = re.compile("['’`]")


@dataclass(frozen=True)
class Match:
    """An item that may be meant.

    Attributes:
        item: its number, 1..N.
        item_id: its external id.
        title: its title.
        kind: how it was found. id: the external id. title: the title, letter by letter. name: the title but for case,
            accents, punctuation, the article's place and the year. words: some words of the title. part: a piece of
            it. similar: with typing errors.
        score: 0 to 100; each kind has its own range, in this order.
    """

    item: int
    item_id: str
    title: str
    kind: MatchKind
    score: float


class Catalog:
    """Items 1..N with external ids and titles.

    Args:
        item_ids: N + 1 external ids; index 0 is the padding's.
        titles: N + 1 titles; index 0 is the padding's.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str]) -> None:
        self.item_ids, self.titles = list(item_ids), list(titles)

    def __len__(self) -> int:
        """N, padding not counted."""
        return len(self.item_ids) - 1

    def search(self, text: str, limit: int = 10) -> list[Match]:
        """Items that `text` may mean, best first; :func:`is_ambiguous` says whether the first is clearly the one.

        An external id comes before a title that reads the same. Of equal scores the lower item number comes first.

        Raises:
            UserError: nothing is like it; the message suggests the nearest titles.
        """
        text = " ".join(text.split())
        found: dict[int, Match] = {}
        for match in (*self._by_id(text), *self._by_title(text), *self._by_words(text)):
            found.setdefault(match.item, match)
        if not found:
            found = {match.item: match for match in self._similar(text, LEAST_SIMILARITY, limit)}
        if not found:
            nearest = ", ".join(repr(match.title) for match in self._similar(text, 0.0, NEAREST))
            raise UserError(f"no item is called {text!r}; the nearest titles are {nearest}")
        return sorted(found.values(), key=lambda match: (-match.score, match.item))[:limit]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {item_id: item for item, item_id in enumerate(self.item_ids) if item}

    @cached_property
    def _names(self) -> list[str]:
        """Each item's title as :func:`plain_name` has it; empty for the padding."""
        return [plain_name(title) for title in self.titles]

    @cached_property
    def _short_names(self) -> list[str]:
        """The same as :func:`short_name` has it."""
        return [short_name(title) for title in self.titles]

    def _match(self, item: int, kind: MatchKind, lost: float = 0.0) -> Match:
        return Match(item, self.item_ids[item], self.titles[item], kind, round(SCORES[kind] - lost, 2))

    def _by_id(self, text: str) -> list[Match]:
        return [self._match(self._numbers[text], "id")] if text in self._numbers else []

    def _by_title(self, text: str) -> list[Match]:
        """The same title, letter by letter or but for the frills; the year only where it helps."""
        exact = [self._match(item, "title") for item, title in enumerate(self.titles) if item and title == text]
        for names, name in ((self._names, plain_name(text)), (self._short_names, short_name(text))):
            same = [self._match(item, "name") for item, other in enumerate(names) if name == other != ""]
            if same:
                return exact + same
        return exact

    def _by_words(self, text: str) -> list[Match]:
        """`text` is a run of words of the title, or a piece of it; the more of the title it covers, the better."""
        name = plain_name(text)
        if not name:
            return []
        matches: list[Match] = []
        for item, other in enumerate(self._names):
            if name in other:
                kind: MatchKind = "words" if f" {name} " in f" {other} " else "part"
                matches.append(self._match(item, kind, lost=9 * (1 - len(name) / len(other))))
        return matches

    def _similar(self, text: str, least: float, limit: int) -> list[Match]:
        """Titles like `text`, or with a piece like it; article and year count or not, whichever is nearer."""
        scores: dict[int, float] = {}
        for names, name in ((self._names, plain_name(text)), (self._short_names, short_name(text))):
            whole = {item: other for item, other in enumerate(names) if other}
            longer = {item: other for item, other in whole.items() if len(other) > len(name)}
            for choices, scorer, weight in ((whole, fuzz.ratio, 1.0), (longer, fuzz.partial_ratio, PIECE_WEIGHT)):
                cutoff = least / weight
                for _, score, item in process.extract(name, choices, scorer=scorer, score_cutoff=cutoff, limit=limit):
                    scores[item] = max(scores.get(item, 0.0), score * weight)
        best = sorted(scores, key=lambda item: (-scores[item], item))[:limit]
        return [self._match(item, "similar", lost=SCORES["similar"] * (1 - scores[item] / 100)) for item in best]


def is_ambiguous(matches: Sequence[Match]) -> bool:
    """Whether the best match of a search is no clear winner: the next is of the same kind.

    Of similar titles the first wins if it leads by more than :data:`CLEAR_LEAD`.
    """
    if len(matches) < 2 or matches[0].kind != matches[1].kind:
        return False
    return matches[0].kind != "similar" or matches[0].score - matches[1].score <= CLEAR_LEAD


def plain_name(title: str) -> str:
    """A title without case, accents and punctuation, article in front: "Usual Suspects, The" → "the usual suspects".

    Letters of all scripts stay; full-width forms become plain ones.
    """
    title = ARTICLE_BEHIND.sub(r"\2 \1\3", title).casefold().replace("&", " and ")
    letters = unicodedata.normalize("NFC", ACCENTS.sub("", unicodedata.normalize("NFKD", title)))
    return " ".join(re.findall(r"[^\W_]+", APOSTROPHES.sub("", letters)))


def short_name(title: str) -> str:
    """A plain name without its leading article and the year in brackets at the end, unless nothing else is there."""
    name = plain_name(YEAR_BEHIND.sub("", title))
    return ARTICLE_IN_FRONT.sub("", name) or name


def with_titles(item_ids: Sequence[str], titles: dict[str, str]) -> tuple[list[str], list[str], int]:
    """Ids and titles of items 1..N with the padding's empty ones in front; an item without a title is called by its id.

    Returns:
        N + 1 external ids, N + 1 titles, and how many titles were missing.
    """
    missing = sum(item_id not in titles for item_id in item_ids)
    return ["", *item_ids], ["", *(titles.get(item_id, item_id) for item_id in item_ids)], missing
