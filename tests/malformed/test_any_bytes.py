"""Whatever bytes a file holds, a reader gives what it reads or refuses it; it never fails in another way."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import READERS, changed, round_of
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.printable import SHOWN, literal, one_line, printable, printable_value
from recdistill.storage.files import read_json
from recdistill.storage.names import is_own_name

TEXTLIKE = st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "ignore")))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_or_refuses_any_bytes(folder: Path, reader: str) -> None:
    name, valid, read = READERS[reader]
    whole = valid()

    @settings(deadline=None, max_examples=40)
    @given(st.one_of(TEXTLIKE, st.randoms(use_true_random=False).map(lambda chance: changed(whole, chance))))
    def check(content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        with suppress(UserError):
            read(path)

    check()


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "bundle"])
def test_what_is_changed_was_readable(folder: Path, reader: str) -> None:
    name, valid, read = READERS[reader]
    (folder / name).write_bytes(valid())
    read(folder / name)


def test_a_round_of_the_fuzzer_counts_every_file_and_keeps_none_that_is_in_order(tmp_path: Path) -> None:
    found = round_of("manifest", 3, 50, tmp_path)
    assert found["read"] + found["refused"] == 50
    assert found["findings"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_finding_of_the_fuzzer_is_told_by_its_kind_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(READERS, "broken", ("a", lambda: b"a", read))
    found = round_of("broken", 0, 3, tmp_path)
    assert found["findings"] == ["ZeroDivisionError"] * 3
    assert len(list(tmp_path.glob("broken-0-*"))) == 3


@pytest.mark.parametrize("read", [read_json, lambda path: read_yaml(path, "config")], ids=["JSON", "YAML"])
def test_json_and_yaml_are_read_or_refused(folder: Path, read: Callable[[Path], object]) -> None:
    pieces = st.sampled_from('{}[]:,"-&*!|>%@`?~<#\\ \n\tnull true 1e9 a: - \\ud800 0x1 1_0 .nan .inf << =')

    @settings(deadline=None, max_examples=300)
    @given(st.lists(pieces, max_size=30).map("".join))
    def check(text: str) -> None:
        (folder / "a").write_text(text)
        with suppress(UserError):
            read(folder / "a")

    check()


@given(st.text())
def test_shown_text_has_no_controls_and_is_shown_once(text: str) -> None:
    shown = printable(text)
    assert not SHOWN.search(shown)
    assert printable(shown) == shown
    assert printable_value(text).isprintable() or not set("\t\n") & set(printable_value(text))
    assert len(one_line(text).splitlines()) <= 1
    shown.encode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_is_the_text_and_nothing_else(text: str) -> None:
    assert eval(literal(text), {"__builtins__": {}}) == text


@given(st.text(max_size=20))
def test_an_own_name_stays_in_its_folder(name: str) -> None:
    folder = Path("/some/folder")
    if is_own_name(name):
        assert (folder / name).parent == folder
        assert (folder / name).name == name
        assert ".." not in (folder / name).parts


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "a/b", "/a", "a\\b", "a\0b", "a\nb", "a\x1bb", "\u202ea", "a" * 201]
)
def test_names_that_are_no_own_ones(name: str) -> None:
    assert not is_own_name(name)


@pytest.mark.parametrize("name", ["a", "a.b", "seed-1", "七", "a b", "a..b", "a" * 200])
def test_own_names(name: str) -> None:
    assert is_own_name(name)
