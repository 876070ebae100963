"""From item numbers to answers: the best items, of all or of some, the popular ones, and why an item is there."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from recdistill.data.catalog import Catalog
from recdistill.errors import UserError
from recdistill.serving.answers import Answer, Reason, Recommendation
from recdistill.serving.engines import Engine, FloatArray, LongArray, best_of

Keep = Callable[[str], bool]
"""Says of an external id whether the item may be listed."""


class Lister:
    """Answers after histories of item numbers; a :class:`recdistill.serving.recommender.Recommender` without the words.

    Args:
        engine: the trained model.
        catalog: ids and titles of its items.
        counts: training interactions, float32 (N + 1,); None: an empty history is an error.
    """

    def __init__(self, engine: Engine, catalog: Catalog, counts: FloatArray | None) -> None:
        self.engine, self.counts, self.ids = engine, counts, catalog.item_ids
        self.names = [title or item_id for title, item_id in zip(catalog.titles, catalog.item_ids, strict=True)]

    def answers(
        self,
        histories: Sequence[Sequence[int]],
        top_k: int,
        exclude_seen: bool,
        candidates: Sequence[int] | None,
        keep: Keep | None,
        because: int,
    ) -> list[Answer]:
        """An answer for each history.

        Args:
            histories: item numbers, oldest first; an empty one gets the popular items.
            top_k: how many items.
            exclude_seen: leave the items of a history out of its answer.
            candidates: numbers of the only items that may be listed; None: all.
            keep: says which items may be listed; None: all.
            because: for each item, how many items of the history to name that weighed most.

        Raises:
            UserError: `top_k` is below 1 or `because` below 0.
        """
        check_top_k(top_k)
        if because < 0:
            raise UserError(f"because: {because} is out of range; it must be 0 or more")
        asked = [row for row, history in enumerate(histories) if history]
        answers = [self.popular(top_k, (), candidates, keep) if not history else Answer(()) for history in histories]
        known = [histories[row] for row in asked]
        if not known:
            return answers
        listed: Iterable[tuple[list[int], list[float]]]
        if candidates is None and keep is None:
            items, scores = self.engine.best(known, min(top_k, self.engine.num_items), exclude_seen)
            listed = zip(items.tolist(), scores.tolist(), strict=True)
        else:
            listed = self._best_of_some(known, top_k, exclude_seen, self._allowed(candidates, keep))
        for row, history, (best, values) in zip(asked, known, listed, strict=True):
            answers[row] = self._answer(history, best, values, because)
        return answers

    def similar(self, item: int, top_k: int) -> list[Recommendation]:
        """The items whose vectors are nearest to an item's by cosine."""
        vectors = self.engine.item_vectors
        lengths = np.linalg.norm(vectors, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines = np.nan_to_num(vectors @ vectors[item] / (lengths * lengths[item]), nan=-1.0)
        cosines[[0, item]] = -np.inf
        best = best_of(cosines[None], min(top_k, self.engine.num_items - 1))[0]
        return [self._recommendation(int(one), float(cosines[one])) for one in best]

    def popular(
        self,
        top_k: int,
        left_out: Sequence[int],
        candidates: Sequence[int] | None,
        keep: Keep | None,
    ) -> Answer:
        """The items with most training interactions, without those left out.

        Raises:
            UserError: nothing is known of popularity.
        """
        if self.counts is None:
            raise UserError("the history is empty; name one title or item id at least")
        allowed = self._allowed(candidates, keep)
        allowed = allowed[~np.isin(allowed, left_out)]
        counts = self.counts[allowed]
        best = best_of(counts[None], min(top_k, len(allowed)))[0] if len(allowed) else np.empty(0, np.int64)
        items = tuple(self._recommendation(int(allowed[one]), float(counts[one])) for one in best)
        return Answer(items, source="popularity")

    def _best_of_some(
        self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool, allowed: LongArray
    ) -> Iterator[tuple[list[int], list[float]]]:
        """The best of the allowed items (ascending) after each history, and their scores."""
        vectors = self.engine.item_vectors[allowed]
        for state, history in zip(self.engine.states(histories), histories, strict=True):
            row = vectors @ state
            if exclude_seen:
                row[np.isin(allowed, history)] = -np.inf
            best = best_of(row[None], min(top_k, len(allowed)))[0] if len(allowed) else np.empty(0, np.int64)
            yield allowed[best].tolist(), row[best].tolist()

    def _allowed(self, candidates: Sequence[int] | None, keep: Keep | None) -> LongArray:
        """Numbers of the items that may be listed, ascending."""
        items = range(1, self.engine.num_items + 1) if candidates is None else sorted(set(candidates))
        return np.array([item for item in items if keep is None or keep(self.ids[item])], dtype=np.int64)

    def _answer(self, history: Sequence[int], items: list[int], scores: list[float], because: int) -> Answer:
        """The answer of items, best first; from a score of -inf on nothing is left to list."""
        if scores and scores[-1] == -math.inf:
            left = scores.index(-math.inf)
            items, scores = items[:left], scores[:left]
        ids, names = self.ids, self.names
        if not (because and items):
            pairs = zip(items, scores, strict=True)
            return Answer(tuple([Recommendation(ids[item], names[item], score) for item, score in pairs]))
        reasons = self._reasons(history, items, because)
        listed = zip(items, scores, reasons, strict=True)
        return Answer(tuple(Recommendation(ids[item], names[item], score, reason) for item, score, reason in listed))

    def _reasons(self, history: Sequence[int], items: list[int], because: int) -> list[tuple[Reason, ...]]:
        """For each item, the items of the history without which its score falls most.

        Each item of the history is left out at once wherever it stands in what the model looks at. A history of one
        item has no score without it; it weighs its own score there.
        """
        latest = history[-self.engine.max_length :]
        whole = list(dict.fromkeys(latest))
        left = [[one for one in latest if one != out] for out in whole]
        vectors = self.engine.item_vectors[items]
        states = self.engine.states([latest, *[one for one in left if one]])
        scores = states @ vectors.T  # (1 + histories, items)
        without = scores[1:] if len(whole) > 1 else np.zeros_like(scores)
        weights = scores[0] - without  # (distinct items of the history, items)
        order = np.argsort(-weights, axis=0, kind="stable")[:because]
        ids, names = self.ids, self.names
        return [
            tuple(Reason(ids[whole[one]], names[whole[one]], float(weights[one, column])) for one in order[:, column])
            for column in range(len(items))
        ]

    def _recommendation(self, item: int, score: float, because: tuple[Reason, ...] = ()) -> Recommendation:
        return Recommendation(self.ids[item], self.names[item], score, because)


def check_top_k(top_k: int) -> None:
    """Refuse a list of no items."""
    if top_k < 1:
        raise UserError(f"top_k: {top_k} is out of range; it must be 1 or more")
