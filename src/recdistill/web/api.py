"""What the paths under /v1 answer. HTTP's own matters are in `edge.py` and `routes.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from recdistill.errors import UserError
from recdistill.serving.answers import Answer
from recdistill.web import limits
from recdistill.web.batching import Asked, MicroBatcher
from recdistill.web.metrics import Metrics
from recdistill.web.problems import Problem
from recdistill.web.schemas import BatchRequest, Options, RecommendRequest
from recdistill.web.served import Served, Trained
from recdistill.web.slow_work import SlowWork

if TYPE_CHECKING:
    from recdistill.data.catalog import Match

CHUNK = 128
"""Histories of a batch that are scored at once; their scores take 4 · CHUNK · (N + 1) bytes."""


@dataclass(frozen=True)
class Reply:
    """The answer to a request that was understood.

    Attributes:
        content: JSON.
        model_seconds: how long the model took; None where it was not asked.
        histories: that were answered.
        bundle: fingerprint of the bundle that answered.
    """

    content: bytes
    model_seconds: float | None = None
    histories: int = 0
    bundle: str = ""

    @property
    def timing(self) -> str:
        """Value of the header Server-Timing: how long the model took; empty where it was not asked."""
        return "" if self.model_seconds is None else f"model;dur={1000 * self.model_seconds:.3f}"


class Api:
    """Answers from what is served at the moment.

    Args:
        served: what is served; a reload replaces it between two requests.
        metrics: where answers are counted.
    """

    def __init__(self, served: Served, metrics: Metrics) -> None:
        self.served, self.metrics = served, metrics
        self.batcher, self.slow = MicroBatcher(metrics.scored), SlowWork()

    async def recommend(self, body: RecommendRequest) -> Reply:
        """The best items after one history.

        Raises:
            Problem: an item or the model is unknown, or too much waits.
        """
        served = self.served
        if body.unknown == "error":
            served.require(body.history, "#/history")
        model = body.model or served.best
        if model == "popularity" or body.because or body.candidates is not None:
            answers, seconds = await self._rank(served, [body.history], body)
            answer = answers[0]
        else:
            asked = Asked(body.top_k, body.exclude_seen, body.unknown)
            answer, seconds = await self.batcher.submit(served.recommender(model), body.history, asked)
        self.metrics.answered(answer.source, len(answer.unknown))
        content = b'%b,"model":"%b",%b}' % (served.opening, model.encode(), served.json.answer(answer))
        return Reply(content, seconds, 1, served.bundle["fingerprint"])

    async def recommend_batch(self, body: BatchRequest) -> Reply:
        """The best items after each history.

        Raises:
            Problem: an item or the model is unknown, or too much waits.
        """
        served = self.served
        check_size(body)
        if body.unknown == "error":
            for place, history in enumerate(body.histories):
                served.require(history, f"#/histories/{place}")
        answers, seconds = await self._rank(served, body.histories, body)
        for answer in answers:
            self.metrics.answered(answer.source, len(answer.unknown))
        listed = b",".join([b"{%b}" % served.json.answer(answer) for answer in answers])
        model = body.model or served.best
        content = b'%b,"model":"%b","answers":[%b]}' % (served.opening, model.encode(), listed)
        return Reply(content, seconds, len(answers), served.bundle["fingerprint"])

    async def search(self, query: str, limit: int) -> Reply:
        """Items whose titles or ids a text may mean, or else those that are near to it."""
        served = self.served

        def work() -> list["Match"]:
            if not query.strip():
                return []
            try:
                return served.main.catalog.search(query, limit)
            except UserError:
                return served.main.catalog.nearest(query, min(limit, 3))

        found = await self.slow.run(work)
        items = [{"item_id": one.item_id, "title": one.title, "match": one.kind} for one in found]
        return self._reply(served, {"items": items})

    def items(self, item_ids: Sequence[str]) -> Reply:
        """Titles of these ids; what the catalog does not have is left out."""
        served = self.served
        known = [(one, served.places[one]) for one in item_ids if one in served.places]
        items = [{"item_id": one, "title": served.main.catalog.name(place), "match": "id"} for one, place in known]
        return self._reply(served, {"items": items})

    async def similar(self, item_id: str, top_k: int) -> Reply:
        """The items nearest to one.

        Raises:
            Problem: there is no such item, or too much waits.
        """
        served = self.served
        if item_id not in served.places:
            raise Problem("not-found", "the catalog has no such item")
        items = await self.slow.run(lambda: served.main.similar(item_id, top_k=top_k))
        content = b'%b,"items":[%b]}' % (served.opening, served.json.items(items))
        return Reply(content, bundle=served.bundle["fingerprint"])

    def about(self) -> Reply:
        """What is served."""
        served = self.served
        about = served.main.about
        body = {
            "models": served.models,
            "num_items": about.num_items,
            "max_length": about.max_length,
            "exclude_seen": about.exclude_seen,
            "examples": len(served.examples),
            "limits": {
                "history": limits.HISTORY,
                "top_k": limits.TOP_K,
                "batch": limits.BATCH,
                "candidates": limits.CANDIDATES,
                "because": limits.BECAUSE,
            },
        }
        return self._reply(served, body)

    def examples(self) -> Reply:
        """Training users with their teacher's lists."""
        return self._reply(self.served, {"examples": self.served.examples})

    async def _rank(
        self, served: Served, histories: Sequence[Sequence[str]], options: Options
    ) -> tuple[list[Answer], float]:
        """Answers on a thread beside the loop, and the seconds they took there."""
        if options.candidates is not None:
            served.require(options.candidates, "#/candidates")
        model = options.model or served.best
        served.require_model(model)

        def work() -> tuple[list[Answer], float]:
            started = perf_counter()
            if model == "popularity":
                answers = [by_popularity(served, history, options) for history in histories]
            else:
                answers = ranked(served, model, histories, options)
            return answers, perf_counter() - started

        answers, seconds = await self.slow.run(work)
        self.metrics.scored(seconds, len(histories))
        return answers, seconds

    def _reply(self, served: Served, body: dict[str, Any]) -> Reply:
        return Reply(to_json({"bundle": served.bundle, **body}), bundle=served.bundle["fingerprint"])


def check_size(body: BatchRequest) -> None:
    """Refuse a batch that asks for more than one request may.

    Raises:
        Problem: it does.
    """
    count = len(body.histories)
    if count * body.top_k > limits.ITEMS:
        told = f"{count} histories of {body.top_k} items each are more than {limits.ITEMS} items"
        raise Problem("invalid", told, errors=[{"pointer": "#/top_k", "detail": told}])
    if body.because and count > limits.EXPLAINED:
        told = f"reasons are given for {limits.EXPLAINED} histories at most"
        raise Problem("invalid", told, errors=[{"pointer": "#/because", "detail": told}])


def ranked(served: Served, model: Trained, histories: Sequence[Sequence[str]], options: Options) -> list[Answer]:
    """Answers of a model, a part of the histories at a time."""
    answers: list[Answer] = []
    for first in range(0, len(histories), CHUNK):
        answers += served.recommender(model).recommend_ids_batch(
            histories[first : first + CHUNK],
            top_k=options.top_k,
            exclude_seen=options.exclude_seen,
            candidates=options.candidates,
            unknown=options.unknown,
            because=options.because,
        )
    return answers


def by_popularity(served: Served, history: Sequence[str], options: Options) -> Answer:
    """The most popular items that the history and the candidates leave."""
    main = served.main
    leaves_out = main.exclude_seen if options.exclude_seen is None else options.exclude_seen
    known = [one for one in history if one in served.places]
    unknown = tuple(dict.fromkeys(one for one in history if one not in served.places))
    wanted = None if options.candidates is None else set(options.candidates)
    found = main.popular(options.top_k if wanted is None else len(main.catalog), exclude=known if leaves_out else ())
    items = [one for one in found if wanted is None or one.item_id in wanted][: options.top_k]
    return Answer(tuple(items), unknown, "popularity")
