from dataclasses import dataclass, fields
from typing import Any

import pytest

from recdistill.config.rules import (
    POSITIVE,
    SHARE,
    Need,
    among,
    at_least,
    between,
    check_ranges,
    given,
    needs_of,
    nonzero,
    range_of,
    setting,
    unless,
)
from recdistill.config.unread import whole_key
from recdistill.errors import UserError


@dataclass(frozen=True)
class Part:
    width: int = setting(4, POSITIVE)
    share: float | None = setting(None, SHARE, read_with=given(".kind", "a", "b", None))
    kind: str = "a"


def test_a_range_holds_for_numbers_and_for_them_alone() -> None:
    check_ranges(Part(), "part")
    check_ranges(Part(share=1.0), "part")
    with pytest.raises(UserError, match=r"part\.share: 1\.5 is out of range; it must be between 0 and 1"):
        check_ranges(Part(share=1.5), "part")
    with pytest.raises(UserError, match=r"^width: 0 is out of range; it must be above 0, and finite"):
        check_ranges(Part(width=0), "")
    with pytest.raises(UserError, match=r"part\.share: nan"):
        check_ranges(Part(share=float("nan")), "part")


def test_a_field_carries_its_range_and_its_needs() -> None:
    width, share, kind = fields(Part)
    assert range_of(width) is POSITIVE
    assert (range_of(kind), needs_of(kind)) == (None, ())
    assert [need.words for need in needs_of(share)] == ["{key}: a, b or null"]


@pytest.mark.parametrize(
    ("need", "met", "not_met", "words"),
    [
        (given("a", 1, True), 1, 0, "{key}: 1 or true"),
        (given("a", "x", said="an x"), "x", "y", "{key}: an x"),
        (unless("a", "x"), "y", "x", "another {key}"),
        (among("a", "x"), ("x", "y"), (), "x among {key}"),
        (nonzero("a"), 0.5, 0.0, "{key} above 0"),
    ],
)
def test_needs_in_words(need: Need, met: list[Any], not_met: list[Any], words: str) -> None:
    assert need.met(met)
    assert not need.met(not_met)
    assert need.words == words


def test_bounds() -> None:
    assert [at_least(3).holds(value) for value in (2, 3)] == [False, True]
    assert [between(2, 4).holds(value) for value in (1, 2, 4, 5)] == [False, True, True, False]
    assert (at_least(3).words, between(2, 4).words) == ("3 or more", "between 2 and 4")


def test_a_key_is_told_from_the_place_of_its_setting() -> None:
    assert whole_key("student.loss.negatives", ".name") == "student.loss.name"
    assert whole_key("teacher.train.batch_size", "..compile") == "teacher.compile"
    assert whole_key("teacher.train.batch_size", "export.enabled") == "export.enabled"
