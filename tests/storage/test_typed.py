from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NotRequired, TypedDict

import pytest

from recdistill.errors import UserError
from recdistill.storage.files import write_json
from recdistill.storage.typed import JsonValue, read_optional, read_typed, typed


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclass(frozen=True)
class Box:
    name: str
    corner: Point
    tags: tuple[str, ...] = ()


class Form(TypedDict):
    count: int
    share: float
    kind: Literal["a", "b"]
    free: NotRequired[dict[str, JsonValue]]
    boxes: NotRequired[list[Box]]
    pair: NotRequired[tuple[str, int]]
    either: NotRequired[str | list[int] | None]


WHOLE = {"count": 2, "share": 1, "kind": "a"}


def test_what_has_the_form_comes_back_with_its_dataclasses_made() -> None:
    free = {"any": [1, None, {"deep": [True, "x", [2.5]]}]}
    boxes = [{"name": "one", "corner": {"x": 1}}, {"name": "two", "corner": {"x": 2, "y": 3}, "tags": ["t"]}]
    more = {"free": free, "boxes": boxes, "pair": ["k", 3], "either": [4]}
    found = typed(WHOLE | more, Form, "file")
    assert found["free"] == free
    assert found["boxes"] == [Box("one", Point(1)), Box("two", Point(2, 3), ("t",))]
    assert found["pair"] == ("k", 3)
    assert found["either"] == [4]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": None}, "count: None is not a whole number"),
        ({"count": True}, "count: True is not a whole number"),
        ({"count": 2.0}, "count: 2.0 is not a whole number"),
        ({"share": "1"}, "share: '1' is not a number"),
        ({"kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"other": 1}, "other: unknown; another version of recdistill wrote this file"),
        ({"free": [1]}, r"free: \[1\] is not an object"),
        ({"boxes": {"a": 1}}, "boxes: .* is not a list"),
        ({"boxes": [{"name": "one"}]}, "boxes.0: corner: missing"),
        ({"boxes": [{"name": "one", "corner": {"x": 1, "z": 2}}]}, "boxes.0.corner: z: unknown"),
        ({"pair": ["k"]}, "pair: has 1 entries instead of 2"),
        ({"pair": ["k", "3"]}, "pair.1: '3' is not a whole number"),
        ({"either": [4, "5"]}, "either.1: '5' is not a whole number"),
        ({"either": 4}, "either: 4 is not a text"),
    ],
)
def test_what_differs_is_named_by_file_and_key(tmp_path: Path, change: dict[str, object], told: str) -> None:
    write_json(tmp_path / "form.json", WHOLE | change)
    with pytest.raises(UserError, match=rf"form\.json: {told}"):
        read_typed(tmp_path / "form.json", Form)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"^here: share: missing$"):
        typed({"count": 1, "kind": "a"}, Form, "here")
    with pytest.raises(UserError, match=r"^here: \[\] is not an object$"):
        typed([], Form, "here")


def test_a_file_that_is_not_there_may_be_none(tmp_path: Path) -> None:
    assert read_optional(tmp_path / "no.json", Form) is None
    with pytest.raises(UserError, match=r"no\.json: no such file"):
        read_typed(tmp_path / "no.json", Form)
