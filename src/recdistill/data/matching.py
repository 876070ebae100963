"""Which items of the interactions the items' file knows, and how both write the ids of those it does not."""

from collections.abc import Collection, Mapping
from pathlib import Path

from recdistill.data.about import Matches
from recdistill.data.id_forms import other_forms
from recdistill.data.item_rows import ItemRows
from recdistill.errors import UserError

SHOWN = 3
"""Ids that a message names."""


def match_items(item_ids: Collection[str], rows: ItemRows) -> Matches:
    """Compare items with those of the file."""
    known = set(rows.ids)
    unmatched = [item_id for item_id in item_ids if item_id not in known] if rows.file else []
    titled = sum(item_id in rows.titles for item_id in item_ids)
    pairs = other_forms(unmatched, rows.ids)
    rest = [(item_id, "") for item_id in unmatched[:SHOWN]]
    like = _ids_like_titles(item_ids, rows.titles)
    return Matches(
        file=Path(rows.file).name,
        items=len(item_ids),
        titled=titled,
        without_title=len(item_ids) - len(unmatched) - titled,
        unmatched=len(unmatched),
        other_forms=len(pairs),
        examples=list(pairs.items())[:SHOWN] or rest,
        second_titles=rows.second_titles,
        own_ids=sum(rows.titles.get(item_id) == item_id for item_id in item_ids),
        like_titles=len(like),
        like_example=next(iter(like.items()), ()),
    )


def require_matches(item_ids: Collection[str], rows: ItemRows) -> None:
    """Check that the file knows one item at least.

    Raises:
        UserError: it knows none; the message has both forms of an id, or an id of each side.
    """
    if not rows.ids or not rows.file or not set(rows.ids).isdisjoint(item_ids):
        return
    pairs = other_forms(item_ids, rows.ids)
    here, there = next(iter(pairs.items()), (next(iter(item_ids)), rows.ids[0]))
    how = "the same id is" if pairs else "ids are"
    raise UserError(
        f"{rows.file}: none of its {len(rows.ids):,} items is among the {len(item_ids):,} of the interactions; {how} "
        f"written like {there!r} there and like {here!r} in the interactions (data.columns.item)"
    )


def _ids_like_titles(item_ids: Collection[str], titles: Mapping[str, str]) -> dict[str, str]:
    """Id → the id of another item with this id for its title."""
    of_title = {titles[item_id]: item_id for item_id in item_ids if item_id in titles}
    return {item_id: of_title[item_id] for item_id in item_ids if of_title.get(item_id, item_id) != item_id}


def untitled_sentence(matches: Matches) -> str:
    """How many items have no title and why, from the values of :class:`Matches`; empty where all have one."""
    items, titled, unmatched = matches["items"], matches["titled"], matches["unmatched"]
    if titled == items:
        return ""
    if not matches["file"]:
        return f"none of the {items:,} items has a title, since there is no items file (data.items_path)"
    missing = items - titled
    sentence = f"{missing:,} of {items:,} items {_be(missing, 'has', 'have')} no title in {matches['file']}"
    if not unmatched:
        return sentence
    sentence += f"; {unmatched:,} {_be(unmatched, 'is', 'are')} not there at all"
    examples = ", ".join(f"{here!r} is {there!r} there" if there else repr(here) for here, there in matches["examples"])
    if matches["other_forms"]:
        return f"{sentence}, or written otherwise ({matches['other_forms']:,}, such as: {examples})"
    return f"{sentence}, such as {examples}"


def own_ids_sentence(matches: Matches) -> str:
    """That titles are ids; empty where none is."""
    count = matches["own_ids"]
    if not count:
        return ""
    return (
        f"{count:,} of {matches['titled']:,} titles {_be(count, 'is', 'are')} the item's own id; unless it is a name, "
        "leave it out of the items file: the similarity of ids says nothing about items"
    )


def like_titles_sentence(matches: Matches) -> str:
    """That ids read as titles of other items; empty where none does."""
    if not matches["like_titles"]:
        return ""
    item_id, other = matches["like_example"]
    many = matches["like_titles"]
    return (
        f"{many:,} id{_be(many, ' is', 's are')} also the title of another item ({item_id!r} is an id, and the "
        f"title of {other!r}); `recommend` takes {item_id!r} for the id"
    )


def _be(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
