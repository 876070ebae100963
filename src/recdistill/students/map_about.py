"""What stands beside a student's map of titles; apart from it, so that it can be read without torch."""

from typing import NotRequired, TypedDict

from recdistill.storage.typed import JsonValue


class Added(TypedDict):
    """Items that were added after training: the file, how many were new in it, and when."""

    file: str
    sha256: str
    items: int
    when: str


MapAbout = TypedDict(
    "MapAbout",
    {
        "examples": list[str],
        "columns": dict[str, str | list[str]],
        "teacher": dict[str, JsonValue],
        "added": NotRequired[list[Added]],
        "evaluate.filter_seen": NotRequired[bool],
    },
)
"""`title_map.json`: some titles by which another encoder is told, how files of items are read
(:class:`recdistill.data.new_items.ItemColumns`), the settings of the encoder; of a model with added items what was
added, and what the run's ranking left out.
"""
