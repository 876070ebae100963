"""`data.json`: what was prepared, from what, and how much of it is left.

A key that may be missing was not written by every version whose runs are read.
"""

from typing import NotRequired, TypedDict

from recdistill.storage.typed import JsonValue


class EventCounts(TypedDict):
    """How many there are; users and items without interactions are not counted."""

    events: int
    users: int
    items: int


class Statistics(EventCounts):
    """What is left, with the targets of each split.

    `titles_missing` counts items without a title, `tied_events` those at the time of the user's interaction before,
    `bad_rows` rows that were left out, `trained_users` those that are trained on.
    """

    targets: dict[str, int]
    titles_missing: NotRequired[int]
    tied_events: NotRequired[int]
    bad_rows: NotRequired[int]
    trained_users: NotRequired[int]


class Matches(TypedDict):
    """Items beside the file that should say what they are called.

    Attributes:
        file: its name; empty where there is none.
        items: how many items there are.
        titled: how many of them have a title.
        without_title: how many are in the file and have none there.
        unmatched: how many are not in the file.
        other_forms: how many of those are there in another form, see :func:`recdistill.data.ids.loose_form`.
        examples: some ids that are not in the file, each with its other form there, or with an empty text.
        second_titles: items of the file with more than one title.
        own_ids: titles that are the item's own id.
        like_titles: items whose id is also the title of another item.
        like_example: one of these ids, and the id of the item with that title; empty where there is none.
    """

    file: str
    items: int
    titled: int
    without_title: int
    unmatched: int
    other_forms: int
    examples: list[tuple[str, str]]
    second_titles: int
    own_ids: int
    like_titles: int
    like_example: tuple[str, ...]


class Names(TypedDict):
    """`catalog.json`: external ids, titles and texts (where they are more than the titles), N + 1 each; in a folder
    that `add-items` wrote also the items' training interactions.
    """

    item_ids: list[str]
    titles: list[str]
    texts: NotRequired[list[str]]
    counts: NotRequired[list[int]]


class About(TypedDict):
    """The whole file. `filters` has the counts after each of them, what was read first; `bad_rows` a count by file;
    `achievable` the expected metrics of the rule that made planted data.
    """

    fingerprint: str
    split_fingerprint: str
    source: NotRequired[str]
    settings: NotRequired[dict[str, JsonValue]]
    seed: NotRequired[int]
    filters: NotRequired[dict[str, EventCounts]]
    statistics: NotRequired[Statistics]
    titles: NotRequired[Matches]
    bad_rows: NotRequired[dict[str, int]]
    achievable: NotRequired[dict[str, dict[str, float]]]
