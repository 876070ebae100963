"""Ask a finished run or a bundle what comes next: a history of titles or item ids in, titles and item ids out.

A person asks by title (:meth:`Recommender.recommend`); a program asks by the data's own ids
(:meth:`Recommender.recommend_ids`, and many histories at once :meth:`Recommender.recommend_ids_batch`), which are never
guessed at.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from recdistill.data.catalog import Catalog, Match
from recdistill.data.id_forms import other_forms
from recdistill.errors import UserError
from recdistill.serving.answers import About, Answer, Model, Recommendation
from recdistill.serving.engines import SCORE_MEMORY, Engine
from recdistill.serving.listing import Lister, check_top_k
from recdistill.serving.loading import best_model, load
from recdistill.serving.understanding import Unknown, check_history, understand, understood

if TYPE_CHECKING:
    from recdistill.config import ColumnsConfig

NAMED_UNKNOWN = 5
"""Unknown ids that an error names."""


class Recommender:
    """A small model with the catalog it was trained on; on the CPU, where it answers in a fraction of a millisecond.

    One recommender may be used from several threads at once: answering changes nothing in it.

    Args:
        engine: the trained model, by whatever library runs it.
        catalog: ids and titles of its items.
        exclude_seen: whether an answer leaves the items of the history out, where a call does not say.
        popularity: training interactions of each item, N + 1 counts; what is listed after an empty history. None: an
            empty history is an error.
        about: name, fingerprint and version of what answers; None: it has none.

    Raises:
        UserError: model, catalog and counts are not of the same number of items.
    """

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        exclude_seen: bool = True,
        popularity: Sequence[int] | None = None,
        about: About | None = None,
    ) -> None:
        if engine.num_items != len(catalog):
            raise UserError(f"the model knows {engine.num_items} items and the catalog has {len(catalog)}")
        if popularity is not None and len(popularity) != len(catalog) + 1:
            raise UserError(f"popularity: {len(popularity) - 1} counts for {len(catalog)} items")
        self.engine, self.catalog, self.exclude_seen = engine, catalog, exclude_seen
        self.about = about or About("", "", "", "", len(catalog), engine.max_length, exclude_seen)
        counts = None if popularity is None else np.asarray(popularity, dtype=np.float32)
        self._lister = Lister(engine, catalog, counts)
        self._numbers = {item_id: item for item, item_id in enumerate(catalog.item_ids) if item}

    @classmethod
    def load(
        cls,
        path: Path | str,
        model: Model | None = None,
        int8: bool = False,
        score_memory: int = SCORE_MEMORY,
        approximate: bool = False,
    ) -> "Recommender":
        """The distilled (or the plain) student of a bundle or of a finished run.

        Of a run, the bundle in it answers (`RUN/bundle`), as long as it holds the run's model as it is now and
        onnxruntime is there; otherwise torch does. Seen items are left out if the run's ranking did so.

        Args:
            path: a bundle's or a run's folder.
            model: which model answers; None: the distilled student, or the plain one where there is no other.
            int8: the bundle's model in 8 bits (`recdistill bundle --int8`).
            score_memory: MiB of scores held at a time; one history's are the least.
            approximate: lists come from the index that `recdistill index` made; what else is asked for is exact.

        Raises:
            UserError: the model, the catalog or the index is missing, broken or of another model; the message names the
                command that makes it.
        """
        model = best_model(Path(path)) if model is None else model
        if model not in get_args(Model):
            raise UserError(f"model: {model!r} is none of {', '.join(get_args(Model))}")
        if score_memory < 1:
            raise UserError(f"score_memory: {score_memory} MiB; it must be 1 or more")
        found = load(Path(path), model, int8, score_memory)
        engine = found.engine
        if approximate:
            from recdistill.serving.item_index import IndexedEngine, load_index

            engine = IndexedEngine(engine, load_index(Path(path), model, engine))
        return cls(engine, found.catalog, found.exclude_seen, found.popularity, found.about)

    def find(self, history: Sequence[str]) -> list[Match]:
        """The item that each entry means, in the same order: an external id, a title, or enough of a title.

        Where several titles fit alike, the best match is taken and the others are told in a warning; so is a title that
        reads like the id that was taken. Nothing is guessed at: see :meth:`recdistill.data.catalog.Catalog.search`.

        Raises:
            UserError: the history is empty, or nothing is called like an entry; the nearest items are named.
        """
        if not history:
            raise UserError("the history is empty; name one title or item id at least")
        return [understand(self.catalog, text) for text in history]

    def recommend(
        self,
        history: Sequence[str],
        top_k: int = 10,
        exclude_seen: bool | None = None,
        candidates: Sequence[str] | None = None,
        filter: Callable[[str], bool] | None = None,
        unknown: Unknown = "error",
        because: int = 0,
    ) -> Answer:
        """The best items to come next, best first.

        Args:
            history: titles, parts of titles or external ids, oldest first. An empty one gets the most popular items,
                and the answer says so.
            top_k: how many items; fewer come back where there are no more.
            exclude_seen: leave the items of the history out; None: as the run's own ranking does.
            candidates: titles or external ids of the only items that may be listed; None: all.
            filter: is asked about the external id of each item that may be listed, and says whether it is.
            unknown: `error` refuses an entry of the history that no item is called; `skip` leaves it out, and the
                answer names it.
            because: for each item, how many items of the history to name that weighed most, by leaving one out at a
                time.

        Raises:
            UserError: nothing is called like an entry (the nearest items are named), or a number is below its least.
        """
        check_history(history, unknown)
        found, skipped = understood(self.catalog, history, unknown)
        allowed = None if candidates is None else [match.item for match in self.find(candidates)] if candidates else []
        answer = self._lister.answers([found], top_k, self._leaves_out(exclude_seen), allowed, filter, because)[0]
        return Answer(answer.items, tuple(skipped), answer.source)

    def recommend_ids(
        self,
        item_ids: Sequence[str],
        top_k: int = 10,
        exclude_seen: bool | None = None,
        candidates: Sequence[str] | None = None,
        filter: Callable[[str], bool] | None = None,
        unknown: Unknown = "error",
        because: int = 0,
    ) -> Answer:
        """As :meth:`recommend`, for the data's own ids alone: none is taken for a title or for another id.

        Raises:
            UserError: ids are unknown (they are named), or a number is below its least.
        """
        return self.recommend_ids_batch([item_ids], top_k, exclude_seen, candidates, filter, unknown, because)[0]

    def recommend_ids_batch(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int = 10,
        exclude_seen: bool | None = None,
        candidates: Sequence[str] | None = None,
        filter: Callable[[str], bool] | None = None,
        unknown: Unknown = "error",
        because: int = 0,
    ) -> list[Answer]:
        """As :meth:`recommend_ids` for B histories: an answer for each, in their order.

        Raises:
            UserError: see :meth:`recommend_ids`; under `unknown="error"` one bad history refuses all.
        """
        for history in (histories, *histories):
            check_history(history, unknown)
        known = self._numbers
        allowed = None
        if candidates is not None:
            self._refuse_unknown("candidates", [one for one in candidates if one not in known])
            allowed = [known[one] for one in candidates]
        try:
            numbers = [[known[one] for one in history] for history in histories]
        except KeyError:
            missing = [[one for one in history if one not in known] for history in histories]
        else:
            return self._lister.answers(numbers, top_k, self._leaves_out(exclude_seen), allowed, filter, because)
        if unknown == "error":
            self._refuse_unknown("item_ids", [one for some in missing for one in some])
        numbers = [[known[one] for one in history if one in known] for history in histories]
        answers = self._lister.answers(numbers, top_k, self._leaves_out(exclude_seen), allowed, filter, because)
        return [
            Answer(answer.items, tuple(dict.fromkeys(some)), answer.source)
            for answer, some in zip(answers, missing, strict=True)
        ]

    def recommend_frame(
        self,
        interactions: Any,
        top_k: int = 10,
        exclude_seen: bool | None = None,
        columns: "ColumnsConfig | None" = None,
        batch_size: int = 1024,
    ) -> Any:
        """As :meth:`recommend_ids` for the users of a data frame, in a frame of the same library.

        Args:
            interactions: histories, one row per interaction; polars, pandas or Arrow.
            top_k: how many items for each user; fewer where the catalog has no more.
            exclude_seen: leave the items of a user's history out; None: as the run's own ranking does.
            columns: names of the columns; None: `user_id`, `item_id` and `timestamp`, as in a configuration. Histories
                are read in the order of the timestamps, and in row order with `timestamp` empty.
            batch_size: users scored at a time; their scores take 4 · batch_size · (N + 1) bytes.

        Returns:
            Columns user and item, called as in `interactions`, then `rank` (from 1), `title` and `score`; users in the
            order of their first rows, best items first. Ids are whole numbers where those of `interactions` are, else
            text.

        Raises:
            UserError: a column is missing, a value is, items are unknown (they are named), or `top_k` is below 1.
        """
        from recdistill.config import ColumnsConfig
        from recdistill.data.histories import read_histories

        names = columns or ColumnsConfig()
        found = read_histories(interactions, names)
        rows: dict[str, list[Any]] = {name: [] for name in ("user", "item", "rank", "title", "score")}
        for first in range(0, len(found.users), batch_size):
            answers = self.recommend_ids_batch(found.histories[first : first + batch_size], top_k, exclude_seen)
            for user, items in zip(found.users[first : first + batch_size], answers, strict=True):
                for rank, item in enumerate(items, start=1):
                    for name, value in zip(rows, (user, item.item_id, rank, item.title, item.score), strict=True):
                        rows[name].append(value)
        return found.answer(rows, interactions)

    def recommend_items(
        self, items: Sequence[int], top_k: int = 10, exclude_seen: bool | None = None, because: int = 0
    ) -> Answer:
        """As :meth:`recommend`, for item numbers 1..N.

        Raises:
            UserError: one is not in 1..N, or `top_k` is below 1.
        """
        if wrong := [item for item in items if not 1 <= item <= len(self.catalog)]:
            raise UserError(f"items: {wrong[0]} is out of range; they are numbered 1 to {len(self.catalog)}")
        return self._lister.answers([items], top_k, self._leaves_out(exclude_seen), None, None, because)[0]

    def similar(self, item_id: str, top_k: int = 10) -> list[Recommendation]:
        """The items whose vectors are nearest to an item's by cosine, which is their score.

        Raises:
            UserError: the id is unknown, or `top_k` is below 1.
        """
        check_top_k(top_k)
        self._refuse_unknown("item_id", [item_id] if item_id not in self._numbers else [])
        return self._lister.similar(self._numbers[item_id], top_k)

    def popular(self, top_k: int = 10, exclude: Collection[str] = ()) -> list[Recommendation]:
        """The items with most training interactions, which are their scores; without those in `exclude`.

        Raises:
            UserError: nothing is known of popularity here, or `top_k` is below 1.
        """
        check_top_k(top_k)
        left_out = [self._numbers[one] for one in exclude if one in self._numbers]
        return list(self._lister.popular(top_k, left_out, None, None).items)

    def _leaves_out(self, exclude_seen: bool | None) -> bool:
        return self.exclude_seen if exclude_seen is None else exclude_seen

    def _refuse_unknown(self, key: str, unknown: Sequence[str]) -> None:
        if not unknown:
            return
        unknown = list(dict.fromkeys(unknown))
        more = f" and {len(unknown) - NAMED_UNKNOWN} more" if len(unknown) > NAMED_UNKNOWN else ""
        named = ", ".join(map(repr, unknown[:NAMED_UNKNOWN]))
        near = other_forms(unknown[:NAMED_UNKNOWN], list(self._numbers))
        there = f" (there is {', '.join(map(repr, dict.fromkeys(near.values())))})" if near else ""
        raise UserError(f"{key}: the catalog has no {named}{more}{there}")
