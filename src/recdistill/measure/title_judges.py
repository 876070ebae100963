"""How settings of what is known beforehand are told: weights of the language model and of the title encoder, titles."""

from collections.abc import Mapping
from typing import Any

from recdistill.languages import Message, message
from recdistill.measure.facts import Seen, WeightFacts
from recdistill.measure.judges import Asked, Found

MOST_ALIKE = 0.05
"""Correlation with the pretrained weights at most, of a model that is said to have lost what it learned."""


def title_decay(asked: float, seen: Seen, _: Asked) -> Found:
    weight = seen.get("titles_weight") or 0.0
    # A weight of 0 is validation's choice: the likeness was computed, and then left out of every score.
    words = (message("seen_titles_weight", weight=f"{weight:g}"), message("seen_no_decay"))
    return words, (weight > 0) == (asked > 0)


def title_encoder(asked: str, seen: Seen, _: Asked) -> Found:
    found = seen.get("title_encoder")
    if not found:
        return message("seen_nothing_embedded"), False
    most, cut = found["max_tokens"], {"cut": found["cut"], "texts": found["texts"]}
    words: tuple[Message, ...] = (
        message("seen_pooling", pooling=_pooling(found["pooling"])),
        message("seen_no_limit", **cut) if most is None else message("seen_limit", most=most, **cut),
    )
    words += (message("seen_behind", prompt=repr(found["prompt"])),) if found.get("prompt") else ()
    words += () if found.get("modules_file", True) else (message("seen_no_modules"),)
    return words, True


def llm_weights(asked: str, seen: Seen, _: Asked) -> Found:
    return _weights(asked, seen.get("llm_weights"))


def title_encoder_weights(asked: str, seen: Seen, _: Asked) -> Found:
    found = seen.get("title_encoder")
    return _weights(asked, found.get("weights") if found else None)


def title_tuning(asked: int, seen: Seen, _: Asked) -> Found:
    encoder = seen.get("title_encoder")
    found = encoder.get("tuning") if encoder else None
    if not found:
        return message("seen_not_tuned"), encoder is not None and asked == 0
    words = message(
        "seen_tuned",
        steps=found["steps"],
        parameters=found["parameters"],
        first=f"{found['first_loss']:.3f}",
        last=f"{found['last_loss']:.3f}",
    )
    return words, found["steps"] == asked


def _weights(asked: str, found: WeightFacts | None) -> Found:
    if found is None:
        return message("seen_nothing_loaded"), False
    if found["correlation"] is None:
        return message("seen_pretrained"), asked == "pretrained"
    words = message(
        "seen_weights", matrices=found["matrices"], values=found["values"], correlation=f"{found['correlation']:.3f}"
    )
    return words, asked == found["kind"] and abs(found["correlation"]) < MOST_ALIKE


def _pooling(found: str | Mapping[str, Any]) -> str | Message:
    """How texts became vectors: a recipe's own words, or a message as it was kept beside the embeddings."""
    return found if isinstance(found, str) else message(found["key"], **found["values"])
