from pathlib import Path
from typing import Any

import pytest

from recdistill.reporting.catalogue import Catalogue, MessageError
from recdistill.reporting.language import Texts


def messages(folder: Path, text: str) -> Catalogue:
    (folder / "xx.ftl").write_text(text, encoding="utf-8")
    return Catalogue("xx", folder)


def test_values_are_shown_as_they_are_given(tmp_path: Path) -> None:
    found = messages(tmp_path, "a = 「{ $v }」")
    shown_as: dict[str | int, str] = {"{x}": "{x}", " 1,682.50 ": " 1,682.50 ", 1682: "1682", 0: "0", -3: "-3"}
    for value, shown in shown_as.items():
        assert found.format("a", {"v": value}) == f"「{shown}」"


def test_a_message_may_choose_a_plural_by_a_number(tmp_path: Path) -> None:
    text = "runs = { $n ->\n    [one] one run\n   *[other] { $n } runs\n}\n"
    (tmp_path / "en.ftl").write_text(text)
    (tmp_path / "ja.ftl").write_text(text)
    assert [Catalogue("en", tmp_path).format("runs", {"n": n}) for n in (1, 1682)] == ["one run", "1682 runs"]
    assert Catalogue("ja", tmp_path).format("runs", {"n": 1}) == "1 runs", "Japanese has no singular"


@pytest.mark.parametrize(
    ("key", "values", "complaint"),
    [
        ("b", {}, "no message is called 'b'"),
        ("a", {}, "values are v; given: none"),
        ("a", {"v": "1", "w": "2"}, "values are v; given: v, w"),
        ("a", {"w": "2"}, "values are v; given: w"),
        ("plain", {"v": "1"}, "values are none; given: v"),
    ],
)
def test_other_names_than_the_messages_own_are_errors(
    tmp_path: Path, key: str, values: dict[str, str | int], complaint: str
) -> None:
    with pytest.raises(MessageError, match=complaint):
        messages(tmp_path, "a = x { $v }\nplain = y").format(key, values)


@pytest.mark.parametrize("value", [0.5, True, None, [1]])
def test_a_value_that_needs_formatting_is_an_error(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="format it first"):
        messages(tmp_path, "a = x { $v }").format("a", {"v": value})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = x\njunk here\n", "cannot be parsed from here: 'junk here'"),
        ("a = { }\n", "cannot be parsed"),
        ("a = x\na = y\n", "a is there twice"),
        ("a =\n    .other = x\n", "a has no text"),
        ("a = x\nb = see { a }\n", "refers to a"),
        ("-t = x\nb = see { -t }\n", "refers to t"),
    ],
)
def test_a_broken_file_is_an_error_when_it_is_read(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        messages(tmp_path, text)


def test_a_function_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match="Unknown function: DECIMALS"):
        messages(tmp_path, "a = { DECIMALS($v) }").format("a", {"v": 1})


def test_a_language_without_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match=r"xx\.ftl: there is no such file"):
        Texts("xx", tmp_path)
