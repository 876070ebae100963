"""What the bench tells the process of a cell, and settings as JSON holds them."""

from collections.abc import Mapping
from typing import TypedDict

from recdistill.storage.typed import JsonValue, typed


class CellSpec(TypedDict):
    """A cell's specification.

    Attributes:
        cell: its name.
        config: the whole configuration.
        settings: keys that the cell sets itself.
        sizes: how much it does.
        judged: keys that any cell sets.
        device: `cpu` or `cuda`.
        threads: of the process.
        parent: the bench's process.
        data: folder of the prepared data.
        student: folder of the student.
        work: folder of its own.
        per_user: whether each user's NDCG@10 is kept.
        titles_only: whether titles are embedded and nothing else is done.
    """

    cell: str
    config: dict[str, JsonValue]
    settings: list[str]
    sizes: dict[str, int]
    judged: list[str]
    device: str
    threads: int
    parent: int
    data: str
    student: str
    work: str
    per_user: bool
    titles_only: bool


def plain_setting(value: object) -> JsonValue:
    """A setting's value as JSON holds it: tuples are lists there."""
    if isinstance(value, tuple | list):
        return [plain_setting(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain_setting(one) for key, one in value.items()}
    plain: JsonValue = typed(value, bool | int | float | str | None, "setting")  # type: ignore[arg-type]
    return plain


def plain_settings(settings: Mapping[str, object]) -> dict[str, JsonValue]:
    """All of them."""
    return {key: plain_setting(value) for key, value in settings.items()}
