"""Digests of files: all bytes count, and what is remembered is forgotten with any change."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recdistill.errors import UserError
from recdistill.storage import digests
from recdistill.storage.digests import MEMORY, PIECE_BYTES, digest_of, remembered_digest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 64)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read whole; every file counts as settled."""
    paths: list[Path] = []
    monkeypatch.setattr(digests, "SETTLED_NS", -1)

    def watched(path: Path) -> str:
        paths.append(path)
        return digest_of(path)

    monkeypatch.setattr(digests, "digest_of", watched)
    return paths


@pytest.mark.parametrize("size", [0, 1, 100, 101, 200, 350])
def test_the_digest_is_that_of_the_pieces_digests(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "PIECE_BYTES", 100)
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    pieces = [hashlib.sha256(content[start : start + 100]).digest() for start in range(0, size, 100)]
    assert digest_of(tmp_path / "file") == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("place", [0, PIECE_BYTES // 2, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 5])
def test_each_byte_counts_wherever_it_stands(tmp_path: Path, place: int) -> None:
    content = bytearray(2 * PIECE_BYTES + 6)
    (tmp_path / "one").write_bytes(content)
    content[place] = 1
    (tmp_path / "other").write_bytes(content)
    assert digest_of(tmp_path / "one") != digest_of(tmp_path / "other")


def test_a_file_is_read_once(file: Path, tmp_path: Path, read: list[Path]) -> None:
    found = {remembered_digest(file, tmp_path / "cache") for _ in range(3)}
    assert found == {digest_of(file)}
    assert read == [file]


def test_by_another_name_it_is_the_same_file(file: Path, tmp_path: Path, read: list[Path]) -> None:
    (tmp_path / "link").symlink_to(file)
    assert remembered_digest(tmp_path / "link", tmp_path / "cache") == remembered_digest(file, tmp_path / "cache")
    assert len(read) == 1


def _in_place(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(5000)
        opened.write(b"\xff\xfe")


def _replaced(file: Path) -> None:
    file.with_name("new").write_bytes(file.read_bytes()[:-1] + b"!")
    file.with_name("new").replace(file)


def _grown(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"!")


@pytest.mark.parametrize("change", [_in_place, _replaced, _grown])
def test_a_changed_file_is_read_again_though_its_time_is_set_back(
    file: Path, tmp_path: Path, read: list[Path], change: Callable[[Path], None]
) -> None:
    first, times = remembered_digest(file, tmp_path / "cache"), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    time.sleep(0.02)  # more than a tick of the clock that stamps files
    change(file)
    os.utime(file, ns=times)
    assert remembered_digest(file, tmp_path / "cache") != first
    assert len(read) == 2


def test_a_file_that_has_just_changed_is_not_remembered(file: Path, tmp_path: Path) -> None:
    remembered_digest(file, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"digest": "0"})])
def test_a_spoiled_memory_is_passed_over(file: Path, tmp_path: Path, read: list[Path], content: str) -> None:
    cache = tmp_path / "cache"
    found = remembered_digest(file, cache)
    (entry,) = (cache / MEMORY).iterdir()
    entry.write_text(content)
    assert remembered_digest(file, cache) == found
    assert len(read) == 2


def test_a_cache_that_takes_nothing_is_told_and_costs_time_only(
    file: Path, tmp_path: Path, read: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UserError("no space left on the disk")

    monkeypatch.setattr(digests, "write_json", full)
    assert remembered_digest(file, tmp_path / "cache") == digest_of(file)
    assert "read whole each time, since no space left" in caplog.text


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: no such file"):
        remembered_digest(tmp_path / "gone", tmp_path / "cache")
