"""What a person's words mean: a title, a part of one, or an id."""

import logging
from collections.abc import Sequence
from typing import Literal, get_args

from recdistill.data.catalog import Catalog, Match, is_ambiguous
from recdistill.errors import UserError

logger = logging.getLogger("recdistill")

Unknown = Literal["error", "skip"]
NAMED_CHOICES = 3
"""Other readings of an unclear title that are told."""


def check_history(history: object, unknown: str) -> None:
    """Refuse a text in a list's place, whose letters would be taken for items, and a rule that there is not.

    Raises:
        UserError: the history is a text, or `unknown` is no :data:`Unknown`.
    """
    if isinstance(history, str):
        raise UserError(f"a history is a list of items, not the text {history!r}")
    if unknown not in get_args(Unknown):
        raise UserError(f"unknown: {unknown!r} is none of {', '.join(get_args(Unknown))}")


def understood(catalog: Catalog, history: Sequence[str], unknown: Unknown) -> tuple[list[int], list[str]]:
    """Numbers of the items that the entries mean, and the entries that mean none.

    Raises:
        UserError: under `error`, nothing is called like an entry.
    """
    if unknown == "error":
        return [understand(catalog, text).item for text in history], []
    found: list[int] = []
    skipped: list[str] = []
    for text in history:
        try:
            found.append(understand(catalog, text).item)
        except UserError:
            skipped.append(text)
    return found, skipped


def understand(catalog: Catalog, text: str) -> Match:
    """The item that a text means; an unclear text is taken for its best match, and the others are told in a warning.

    Raises:
        UserError: nothing is called so; the nearest items are named.
    """
    matches = catalog.search(text)
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
