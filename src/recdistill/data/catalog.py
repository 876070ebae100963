"""The items: numbers inside, external ids and titles outside, and finding an item by what a person types."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from recdistill.data.id_forms import loose_form
from recdistill.errors import UserError

MatchKind = Literal["id", "id_case", "title", "name", "words", "part", "similar"]
SCORES: dict[MatchKind, float] = {
    "id": 100,
    "id_case": 99.5,
    "title": 99,
    "name": 98,
    "words": 90,
    "part": 80,
    "similar": 70,
}
"""The best score of each kind of match; the ranges do not overlap, so sorting by score sorts by kind."""

LEAST_SIMILARITY = 75.0
"""Similarity, of 100, from which on an error asks whether an item was meant."""

PIECE_WEIGHT = 0.95
"""What likeness to a piece of a title counts, where likeness to all of it counts 1."""

NEAREST = 3
"""Items suggested where nothing was found."""

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
        title: its title; the id where it has none.
        kind: how it was found. id: the external id. id_case: the same but for case, where that is one item. title: the
            title, letter by letter. name: the title but for case, accents, punctuation, the article's place and the
            year. words: some words of the title. part: a piece of it. similar: something near it, a suggestion only.
        score: 0 to 100; each kind has its own range, in this order.
    """

    item: int
    item_id: str
    title: str
    kind: MatchKind
    score: float

    def __str__(self) -> str:
        """As a message names it: the title and the id in brackets, or the id alone."""
        return repr(self.item_id) if self.title == self.item_id else f"{self.title!r} [{self.item_id}]"


class Catalog:
    """Items 1..N with external ids and titles.

    Args:
        item_ids: N + 1 external ids; index 0 is the padding's.
        titles: N + 1 titles, empty where there is none; index 0 is the padding's.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str]) -> None:
        self.item_ids, self.titles = list(item_ids), list(titles)

    def __len__(self) -> int:
        """N, padding not counted."""
        return len(self.item_ids) - 1

    def name(self, item: int) -> str:
        """What an item is called: its title, or its id where it has none."""
        return self.titles[item] or self.item_ids[item]

    def search(self, text: str, limit: int = 10) -> list[Match]:
        """Items that `text` may mean, best first; :func:`is_ambiguous` says whether the first is clearly the one.

        An external id comes before a title that reads the same, and is never guessed at: it is found letter by letter,
        or but for case where only one id is the same then. A text in the form of the catalog's ids is an id or a whole
        title, and never taken for a piece of one; an item without a title is found by its id alone. What is only near
        is not found but asked about. Of equal scores the lower item number comes first.

        Raises:
            UserError: nothing is called so; the message names what is nearest.
        """
        given, text = text, " ".join(text.split())
        pieces = [] if self._has_form_of_id(text) else self._by_words(text)
        found: dict[int, Match] = {}
        for match in (*self._by_id(given, text), *self._by_title(text), *pieces):
            found.setdefault(match.item, match)
        if not found:
            raise UserError(self._question(text))
        return sorted(found.values(), key=lambda match: (-match.score, match.item))[:limit]

    def nearest(self, text: str, limit: int = NEAREST) -> list[Match]:
        """Items whose id or title is near to `text`, nearest first."""
        similar = [*self._similar_ids(text, limit), *self._similar_titles(text, limit)]
        same = [match for match in similar if match.score == SCORES["similar"]]
        found: dict[int, Match] = {match.item: match for match in same}
        for match in sorted((*self._by_words(text), *similar), key=lambda match: (-match.score, match.item)):
            found.setdefault(match.item, match)
        return list(found.values())[:limit]

    def _question(self, text: str) -> str:
        """The error where nothing was found."""
        near = self.nearest(text)
        named = ", ".join(map(str, near))
        least = SCORES["similar"] * LEAST_SIMILARITY / 100
        if close := [match for match in near if match.score >= least]:
            return f"no item is called {text!r}; did you mean {' or '.join(map(str, close))}?"
        return f"no item is called {text!r}; the nearest are {named}"

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {item_id: item for item, item_id in enumerate(self.item_ids) if item}

    @cached_property
    def _folded_ids(self) -> list[str]:
        """Each item's id without case; empty for the padding."""
        return [item_id.casefold() for item_id in self.item_ids]

    @cached_property
    def _id_forms(self) -> set[str]:
        """The forms of all ids, see :func:`id_form`."""
        return {id_form(item_id) for item_id in self.item_ids[1:]}

    @cached_property
    def _names(self) -> list[str]:
        """Each item's title as :func:`plain_name` has it; empty for the padding and where there is none."""
        return [plain_name(title) for title in self.titles]

    @cached_property
    def _short_names(self) -> list[str]:
        """The same as :func:`short_name` has it."""
        return [short_name(title) for title in self.titles]

    def _match(self, item: int, kind: MatchKind, lost: float = 0.0) -> Match:
        return Match(item, self.item_ids[item], self.name(item), kind, round(SCORES[kind] - lost, 2))

    def _has_form_of_id(self, text: str) -> bool:
        """Whether `text` looks like the catalog's ids: a word with a digit in a form that some id has."""
        return any(map(str.isdigit, text)) and " " not in text and id_form(text) in self._id_forms

    def _by_id(self, given: str, text: str) -> list[Match]:
        """The item with this id, as it was given or without the white space around it, or the one but for case."""
        for one in (given, text):
            if one in self._numbers:
                return [self._match(self._numbers[one], "id")]
        folded = text.casefold()
        same = [item for item, other in enumerate(self._folded_ids) if item and other == folded]
        return [self._match(same[0], "id_case")] if len(same) == 1 else []

    def _by_title(self, text: str) -> list[Match]:
        """The same title, letter by letter or but for the frills; the year only where it helps."""
        exact = [self._match(item, "title") for item, title in enumerate(self.titles) if title and title == text]
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

    def _similar_ids(self, text: str, limit: int) -> list[Match]:
        """Ids like `text`; those that are the same but for the way they are written count as equal."""
        from rapidfuzz import fuzz, process  # here, since an answer by ids alone needs none of it

        form, folded = loose_form(text), text.casefold()
        same = [item for item, item_id in enumerate(self.item_ids) if item and loose_form(item_id) == form]
        ids = {item: other for item, other in enumerate(self._folded_ids) if item}
        scores = {item: score for _, score, item in process.extract(folded, ids, scorer=fuzz.ratio, limit=limit)}
        return self._suggestions(scores | dict.fromkeys(same[:limit], 100.0), limit)

    def _similar_titles(self, text: str, limit: int) -> list[Match]:
        """Titles like `text`, or with a piece like it; article and year count or not, whichever is nearer."""
        from rapidfuzz import fuzz, process

        scores: dict[int, float] = {}
        for names, name in ((self._names, plain_name(text)), (self._short_names, short_name(text))):
            whole = {item: other for item, other in enumerate(names) if other}
            longer = {item: other for item, other in whole.items() if len(other) > len(name)}
            for choices, scorer, weight in ((whole, fuzz.ratio, 1.0), (longer, fuzz.partial_ratio, PIECE_WEIGHT)):
                for _, score, item in process.extract(name, choices, scorer=scorer, limit=limit):
                    scores[item] = max(scores.get(item, 0.0), score * weight)
        return self._suggestions(scores, limit)

    def _suggestions(self, scores: dict[int, float], limit: int) -> list[Match]:
        best = sorted(scores, key=lambda item: (-scores[item], item))[:limit]
        return [self._match(item, "similar", lost=SCORES["similar"] * (1 - scores[item] / 100)) for item in best]


def is_ambiguous(matches: Sequence[Match]) -> bool:
    """Whether the best match of a search is no clear winner: the next is of the same kind."""
    return len(matches) > 1 and matches[0].kind == matches[1].kind


def id_form(item_id: str) -> str:
    """What an id is made of: `GM-02560-A` → `a-0-a`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", item_id))


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
