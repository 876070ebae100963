"""Ids that two files may write differently: how likeness is found, to be told and never acted on."""

import re
import unicodedata
from collections.abc import Collection, Iterable

FLOAT_FORM = (
    r"^-?(?:(?:0|[1-9][0-9]*)\.[0-9]*|[0-9](?:\.[0-9]+)?e[+-][0-9]{2,6}"
    r"|[0-9]\.[0-9]+E[+-]?[0-9]{1,6}|[0-9]E\+[0-9]{2})$"
)
"""How tools write floats. A product code such as `7E0` or `007.0` has none of these forms."""


def loose_form(item_id: str) -> str:
    """What ids have in common that two files may write differently, to find the other form of an id that matches
    nothing: without case, white space and quotes around it, leading zeros, and a float's tail.
    """
    text = unicodedata.normalize("NFKC", item_id).strip(" \t\r\n\"'`").casefold()
    text = re.sub(r"^([0-9]+)[.,]0*$", r"\1", text)
    return text.lstrip("0") or "0" if text.isdigit() else text


def other_forms(missing: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Missing id → a known id that is the same but for the way it is written; those without one are left out."""
    wanted = {item_id: loose_form(item_id) for item_id in missing}
    if not wanted:
        return {}
    forms = set(wanted.values())
    there: dict[str, str] = {}
    for item_id in known:
        if (form := loose_form(item_id)) in forms:
            there.setdefault(form, item_id)
    return {item_id: there[form] for item_id, form in wanted.items() if form in there}


def has_float_form(item_ids: Iterable[str]) -> bool:
    """Whether one of the ids is written as a float: their column held fractions, see :mod:`recdistill.data.ids`."""
    return any(re.fullmatch(FLOAT_FORM, item_id) for item_id in item_ids)
