"""What `prepare` has to tell: how much was read, what each filter dropped, what is left, which items have titles."""

import logging
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

from recdistill.data.about import About, EventCounts
from recdistill.data.matching import like_titles_sentence, own_ids_sentence, untitled_sentence

logger = logging.getLogger("recdistill")

NOUNS: tuple[Literal["events", "users", "items"], ...] = ("events", "users", "items")


def tell_counts(about: About) -> None:
    """Log the counts in a `data.json`, a line each; items without a title are a warning."""
    for line in count_lines(about):
        logger.info("data: %s", line)
    matches = about.get("titles")
    if matches is None:
        return
    logger.info("data: %s of %s items have a title", f"{matches['titled']:,}", f"{matches['items']:,}")
    for sentence in (untitled_sentence(matches), own_ids_sentence(matches)):
        if sentence:
            logger.warning("data: %s", sentence)
    if sentence := like_titles_sentence(matches):
        logger.info("data: %s", sentence)


def tell_untitled(about: About) -> None:
    """Say, before a teacher trains, of how many items it can read nothing."""
    matches = about.get("titles")
    if matches is None or not (sentence := untitled_sentence(matches)):
        return
    if not matches["titled"] and not about["settings"].get("text"):
        sentence += "; the teacher's title vectors and title similarity are off, and all it knows are ids"
    else:
        sentence += "; the teacher knows these by their ids alone, which it does not read as text"
    logger.warning("teacher: %s", sentence)


def count_lines(about: About) -> list[str]:
    """What was read, what each filter dropped and what is left."""
    steps, settings = about["filters"], about["settings"]
    names = list(steps)
    lines = [f"read: {_amounts(steps[names[0]])}"]
    for before, name in pairwise(names):
        dropped = lost(steps[before], steps[name])
        lines.append(f"{' and '.join(filter_settings(name, settings))}: {_amounts(dropped)} dropped")
    targets = ", ".join(f"{count:,} {part}" for part, count in about["statistics"]["targets"].items())
    return [*lines, f"left: {_amounts(about['statistics'])}; targets: {targets}"]


def filter_settings(step: str, settings: Mapping[str, object]) -> list[str]:
    """The settings behind a filter, one or two, with their values."""
    keys = ("min_user_events", "min_item_events") if step == "k_core" else (step,)
    return [f"data.{key} {settings.get(key, '')}".strip() for key in keys]


def lost(before: EventCounts, after: EventCounts) -> EventCounts:
    """What a filter dropped."""
    return {
        "events": before["events"] - after["events"],
        "users": before["users"] - after["users"],
        "items": before["items"] - after["items"],
    }


def _amounts(counts: EventCounts) -> str:
    """`1,200 interactions, 3 users`; zeros are left out."""
    shown = {noun: "interactions" if noun == "events" else noun for noun in NOUNS if counts[noun]}
    named = (f"{counts[noun]:,} {name[:-1] if counts[noun] == 1 else name}" for noun, name in shown.items())
    return ", ".join(named) or "nothing"
