"""What the language model reads about an item: its title and, where the items file says more, that too.

Toy Story (1995). Genres: Adventure, Animation. Release year: 1995.
"""

from collections.abc import Mapping, Sequence

NOTHING = "(no genres listed)"
"""What MovieLens writes where an item has no genres."""


def item_texts(item_ids: Sequence[str], titles: Sequence[str], values: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One text for the padding (empty) and each item; empty for an item of which nothing is known.

    Args:
        item_ids: N + 1 external ids; index 0 is the padding's.
        titles: N + 1 titles, empty where there is none; index 0 is the padding's.
        values: label → external item id → value, in the order in which they are read; see :func:`label`.
    """
    texts = [""]
    for item_id, title in zip(item_ids[1:], titles[1:], strict=True):
        known = [(name, of_item[item_id]) for name, of_item in values.items() if item_id in of_item]
        texts.append(describe(title, [(name, value) for name, value in known if value != NOTHING]))
    return texts


def describe(title: str, values: Sequence[tuple[str, str]]) -> str:
    """A title, where there is one, with labelled values behind it; several of one label (`Drama|War`) become a list."""
    sentences = [f"{name}: {', '.join(value.split('|'))}." for name, value in values]
    if not sentences or not title:
        return " ".join(sentences) or title
    end = "" if title.endswith((".", "!", "?")) else "."
    return " ".join([f"{title}{end}", *sentences])


def label(column: str) -> str:
    """What a column is called in a text: `release_year` → `Release year`."""
    words = column.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
