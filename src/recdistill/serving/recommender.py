"""Ask a finished run what comes next: a history of titles or item ids in, titles and item ids out.

A person asks by title (:meth:`Recommender.recommend`); a program asks by the data's own ids
(:meth:`Recommender.recommend_ids`, and many histories at once :meth:`Recommender.recommend_ids_batch`), which are never
guessed at.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from recdistill.config import ColumnsConfig
from recdistill.data.catalog import Catalog, Match, is_ambiguous
from recdistill.data.histories import read_histories
from recdistill.data.matching import other_forms
from recdistill.errors import UserError
from recdistill.steps import SERVED
from recdistill.storage.files import read_json
from recdistill.students.base import Student
from recdistill.students.make import SHAPE_FILE, load_student
from recdistill.students.title_map import ABOUT_FILE

logger = logging.getLogger("recdistill")

Model = Literal["distilled", "student"]
NAMED_UNKNOWN = 5
"""Unknown ids that an error names."""
NAMED_CHOICES = 3
"""Other readings of an unclear title that are told."""
FILTER_SEEN = "evaluate.filter_seen"
"""What a model's manifest calls the setting where it is not at its default, and what `add-items` writes down."""


@dataclass(frozen=True)
class Recommendation:
    """One item to choose next.

    Attributes:
        item_id: the person's own id of the item.
        title: its title; the id where it has none.
        score: the model's score; only differences within one answer mean anything.
    """

    item_id: str
    title: str
    score: float


class Recommender:
    """A small model with the catalog it was trained on; on the CPU, where it answers in under a millisecond.

    One recommender may be used from several threads at once: answering changes nothing in it. torch's own threads are
    the process's, so a service that answers in many threads does best with `torch.set_num_threads(1)`.

    Args:
        model: the trained model.
        catalog: ids and titles of its items.
        exclude_seen: whether an answer leaves the items of the history out, where a call does not say.

    Raises:
        UserError: model and catalog are not of the same number of items.
    """

    def __init__(self, model: Student, catalog: Catalog, exclude_seen: bool = True) -> None:
        if model.num_items != len(catalog):
            raise UserError(f"the model knows {model.num_items} items and the catalog has {len(catalog)}")
        self.model, self.catalog, self.exclude_seen = model.eval(), catalog, exclude_seen
        self._numbers = {item_id: item for item, item_id in enumerate(catalog.item_ids) if item}

    @classmethod
    def load(cls, run: Path, model: Model = "distilled") -> "Recommender":
        """The distilled (or the plain) student of a finished run; seen items are left out if the run's ranking did so.

        Raises:
            UserError: the run lacks the model or the catalog; the message names the step that makes it.
        """
        if not (run / model / SHAPE_FILE).is_file():
            other = next((one for one in SERVED if (run / one / SHAPE_FILE).is_file()), "")
            instead = f", or ask for --model {other}" if other else ""
            raise UserError(f"{run / model}: holds no model; run `recdistill {SERVED[model]}` first{instead}")
        if not (run / "prepare" / "catalog.json").is_file():
            raise UserError(f"{run / 'prepare'}: holds no catalog; run `recdistill prepare` first")
        names = read_json(run / "prepare" / "catalog.json")
        catalog = Catalog(names["item_ids"], names["titles"])
        return cls(load_student(run / model), catalog, leaves_seen_out(run, model))

    def find(self, history: Sequence[str]) -> list[Match]:
        """The item that each entry means, in the same order: an external id, a title, or enough of a title.

        Where several titles fit alike, the best match is taken and the others are told in a warning; so is a title that
        reads like the id that was taken. Nothing is guessed at: see :meth:`recdistill.data.catalog.Catalog.search`.

        Raises:
            UserError: the history is empty, or nothing is called like an entry; the nearest items are named.
        """
        if not history:
            raise UserError("the history is empty; name one title or item id at least")
        return [self._understand(text) for text in history]

    def recommend(
        self, history: Sequence[str], top_k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The best items to come next, best first.

        Args:
            history: titles, parts of titles or external ids, oldest first.
            top_k: how many items; fewer come back where the catalog has no more.
            exclude_seen: leave the items of the history out; None: as the run's own ranking does.

        Raises:
            UserError: see :meth:`find`; or `top_k` is below 1.
        """
        items = [match.item for match in self.find(history)]
        return self.recommend_items(items, top_k, exclude_seen)

    def recommend_ids(
        self, item_ids: Sequence[str], top_k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """As :meth:`recommend`, for the data's own ids alone: none is taken for a title or for another id.

        Args:
            item_ids: ids as they stand in the data, oldest first. Leave out yourself what the catalog does not know.
            top_k: how many items; fewer come back where the catalog has no more.
            exclude_seen: leave the items of the history out; None: as the run's own ranking does.

        Raises:
            UserError: the history is empty, ids are unknown (they are named), or `top_k` is below 1.
        """
        return self.recommend_ids_batch([item_ids], top_k, exclude_seen)[0]

    def recommend_ids_batch(
        self, histories: Sequence[Sequence[str]], top_k: int = 10, exclude_seen: bool | None = None
    ) -> list[list[Recommendation]]:
        """As :meth:`recommend_ids` for B histories, scored at once: an answer for each, in their order.

        Their scores take 4·B·(N + 1) bytes.

        Raises:
            UserError: see :meth:`recommend_ids`; one bad history refuses all.
        """
        known = self._numbers
        unknown = list(dict.fromkeys(one for history in histories for one in history if one not in known))
        if unknown:
            more = f" and {len(unknown) - NAMED_UNKNOWN} more" if len(unknown) > NAMED_UNKNOWN else ""
            named = ", ".join(map(repr, unknown[:NAMED_UNKNOWN]))
            near = other_forms(unknown[:NAMED_UNKNOWN], list(known))
            there = f" (there is {', '.join(map(repr, dict.fromkeys(near.values())))})" if near else ""
            raise UserError(f"item_ids: the catalog has no {named}{more}{there}")
        return self._best([[known[one] for one in history] for history in histories], top_k, exclude_seen)

    def recommend_frame(
        self,
        interactions: Any,
        top_k: int = 10,
        exclude_seen: bool | None = None,
        columns: ColumnsConfig | None = None,
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
        self, items: Sequence[int], top_k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """As :meth:`recommend`, for item numbers 1..N.

        Raises:
            UserError: there are no items, one is not in 1..N, or `top_k` is below 1.
        """
        return self._best([items], top_k, exclude_seen)[0]

    @torch.inference_mode()
    def _best(
        self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool | None
    ) -> list[list[Recommendation]]:
        """The best items after each history of item numbers."""
        if top_k < 1:
            raise UserError(f"top_k: {top_k} is out of range; it must be 1 or more")
        if not histories:
            return []
        for history in histories:
            if not history:
                raise UserError("the history is empty; name one item at least")
            if wrong := [item for item in history if not 1 <= item <= len(self.catalog)]:
                raise UserError(f"items: {wrong[0]} is out of range; they are numbered 1 to {len(self.catalog)}")
        latest = [torch.tensor(history[-self.model.config.max_length :]) for history in histories]
        scores = self.model.last_scores(pad_sequence(latest, batch_first=True))
        if self.exclude_seen if exclude_seen is None else exclude_seen:
            for row, history in zip(scores, histories, strict=True):
                row[list(history)] = -torch.inf
        best = scores.topk(min(top_k, len(self.catalog)))
        return [
            [
                Recommendation(self.catalog.item_ids[item], self.catalog.name(item), score)
                for item, score in zip(items, values, strict=True)
                if score > -torch.inf
            ]
            for items, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _understand(self, text: str) -> Match:
        matches = self.catalog.search(text)
        if is_ambiguous(matches):
            same = [match for match in matches[1:] if match.kind == matches[0].kind][:NAMED_CHOICES]
            logger.warning("%r is taken as %s; it may also mean %s", text, matches[0], ", ".join(map(str, same)))
        elif titles := _titles_beside_an_id(matches):
            others = ", ".join(map(str, titles))
            logger.warning("%r is taken for the id of %s; it is also a title: %s", text, matches[0], others)
        return matches[0]


def _titles_beside_an_id(matches: Sequence[Match]) -> list[Match]:
    """Items with the title that reads like the id that is taken."""
    if matches[0].kind not in ("id", "id_case"):
        return []
    return [match for match in matches[1:] if match.kind in ("title", "name")][:NAMED_CHOICES]


def leaves_seen_out(run: Path, model: Model) -> bool:
    """Whether a run's ranking left seen items out (`evaluate.filter_seen`), by its evaluation, or by its training."""
    places = (
        (run / "evaluation/manifest.json", "config", "filter_seen"),
        (run / model / "manifest.json", "inputs", FILTER_SEEN),
    )
    for path, section, key in places:
        if path.is_file() and key in (found := read_json(path)[section]):
            return bool(found[key])
    path = run / model / ABOUT_FILE
    return bool(read_json(path).get(FILTER_SEEN, True)) if path.is_file() else True
