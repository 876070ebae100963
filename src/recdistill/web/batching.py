"""Requests that arrive together are scored together.

Nobody waits for company: the requests that one turn of the event loop reads from the network are scored at its end, as
one batch where they ask for the same. Under light load that is one request at a time, under heavy load many.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from recdistill.serving.answers import Answer
    from recdistill.serving.recommender import Recommender

LARGEST = 16
"""Histories scored at once; the loop answers what is ready between two of them."""


class Asked(NamedTuple):
    """What requests must share to be scored together."""

    top_k: int
    exclude_seen: bool | None
    unknown: Literal["error", "skip"]


class Scored(NamedTuple):
    """An answer, and the seconds that the model took for the batch it was in."""

    answer: "Answer"
    seconds: float


class _Waiting(NamedTuple):
    history: Sequence[str]
    future: "asyncio.Future[Scored]"


class MicroBatcher:
    """Collects histories until the end of the event loop's turn; for one loop's thread.

    Args:
        on_scored: told of each batch: seconds, histories.
        largest: histories scored at once.
    """

    def __init__(self, on_scored: Callable[[float, int], None], largest: int = LARGEST) -> None:
        self.on_scored, self.largest = on_scored, largest
        self._groups: dict[tuple[Recommender, Asked], list[_Waiting]] = {}

    def submit(self, recommender: "Recommender", history: Sequence[str], asked: Asked) -> "asyncio.Future[Scored]":
        """The answer to one history, whose ids are known to the recommender unless they are to be skipped."""
        loop = asyncio.get_running_loop()
        if not self._groups:
            loop.call_soon(self._score)
        waiting = _Waiting(history, loop.create_future())
        self._groups.setdefault((recommender, asked), []).append(waiting)
        return waiting.future

    def _score(self) -> None:
        """Score some of the first group that waits, and come again after the loop's next turn where more do."""
        key = next(iter(self._groups))
        group = self._groups.pop(key)
        if rest := group[self.largest :]:
            self._groups[key] = rest
        if self._groups:
            asyncio.get_running_loop().call_soon(self._score)
        if group := [one for one in group[: self.largest] if not one.future.done()]:
            self._answer(*key, group)

    def _answer(self, recommender: "Recommender", asked: Asked, group: Sequence[_Waiting]) -> None:
        started = perf_counter()
        try:
            answers = recommender.recommend_ids_batch(
                [one.history for one in group],
                top_k=asked.top_k,
                exclude_seen=asked.exclude_seen,
                unknown=asked.unknown,
            )
        except Exception as error:  # noqa: BLE001 (each request raises it where it waits)
            for one in group:
                one.future.set_exception(error)
            return
        seconds = perf_counter() - started
        for one, answer in zip(group, answers, strict=True):
            one.future.set_result(Scored(answer, seconds))
        self.on_scored(seconds, len(group))
