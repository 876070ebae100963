"""Answers as JSON text. Titles are escaped once per bundle, not once per answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from recdistill.serving.answers import Answer, Recommendation

NO_REASONS = b',"because":[]}'


class AnswerJson:
    """Writes answers of one bundle. Scores have nine digits, which is all that a 32-bit number has."""

    def __init__(self) -> None:
        self._named: dict[str, bytes] = {}

    def answer(self, answer: "Answer") -> bytes:
        """One answer's fields, without the braces around them."""
        unknown = to_json(answer.unknown) if answer.unknown else b"[]"
        return b'"source":"%b","items":[%b],"unknown":%b' % (
            answer.source.encode(),
            self.items(answer.items),
            unknown,
        )

    def items(self, items: Sequence["Recommendation"]) -> bytes:
        """Items, without the brackets around them."""
        return b",".join([self._item(item) for item in items])

    def _item(self, item: "Recommendation") -> bytes:
        named = self._named.get(item.item_id)
        if named is None:
            named = to_json({"item_id": item.item_id, "title": item.title})[:-1] + b',"score":'
            self._named[item.item_id] = named
        because = NO_REASONS
        if item.because:
            because = b',"because":%b}' % to_json([one._asdict() for one in item.because])
        return b"%b%.9g%b" % (named, item.score, because)
