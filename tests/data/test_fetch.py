import hashlib
import logging
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recdistill.data.fetch import WHEELS, Wheel, cache_folder, check_fetched, fetch, fetch_from_wheel
from recdistill.errors import UserError
from recdistill.storage.files import sha256_of

MakeWheel = Callable[[dict[str, str]], Wheel]


@pytest.fixture
def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWheel:
    """Put a wheel where pip looks for it, and nothing else where pip looks."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def make(contents: dict[str, str]) -> Wheel:
        path = index / "toys-1.0-py3-none-any.whl"
        about = {
            "METADATA": "Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in contents.items() | {f"toys-1.0.dist-info/{k}": v for k, v in about.items()}.items():
                archive.writestr(name, content)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Wheel("toys==1.0", digest, {"toys/a.txt": "a.txt", "toys/deep/b.txt": "b.txt"}, "free for all")

    return make


def test_fetches_once(make_wheel: MakeWheel, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wheel, folder = make_wheel({"toys/a.txt": "A", "toys/deep/b.txt": "B", "toys/c.txt": "C"}), tmp_path / "cache"
    with caplog.at_level(logging.INFO, "recdistill"):
        assert fetch_from_wheel("toys", wheel, folder) == folder
    assert "toys==1.0; free for all" in caplog.text
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.txt": "A", "b.txt": "B"}
    (tmp_path / "index" / "toys-1.0-py3-none-any.whl").unlink()
    assert fetch_from_wheel("toys", wheel, folder) == folder


def test_a_changed_file_in_the_cache_is_refused_at_use_and_fetched_anew(
    make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"toys/a.txt": "A", "toys/deep/b.txt": "B"}
    files = {name: hashlib.sha256(content).hexdigest() for name, content in (("a.txt", b"A"), ("b.txt", b"B"))}
    wheel, folder = replace(make_wheel(contents), files=files), tmp_path / "cache"
    monkeypatch.setitem(WHEELS, "toys", wheel)
    fetch_from_wheel("toys", wheel, folder)
    check_fetched("toys", folder, "data.source")
    (folder / "b.txt").write_text("evil")
    with pytest.raises(UserError, match=r"^data\.source: .*b\.txt is not the file that was fetched; run"):
        check_fetched("toys", folder, "data.source")
    fetch_from_wheel("toys", wheel, folder)
    check_fetched("toys", folder, "data.source")
    (folder / "a.txt").unlink()
    with pytest.raises(UserError, match=r"a\.txt"):
        check_fetched("toys", folder, "data.source")


def test_another_checksum(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel({"toys/a.txt": "A", "toys/deep/b.txt": "B"})
    make_wheel({"toys/a.txt": "evil", "toys/deep/b.txt": "B"})
    with pytest.raises(UserError, match=f"toys-1.0-py3-none-any.whl has sha256 .*, expected {wheel.sha256}"):
        fetch_from_wheel("toys", wheel, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_member_that_is_not_there(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel({"toys/a.txt": "A"})
    with pytest.raises(UserError, match=r"fetch toys: .* is not the wheel it should be .*toys/deep/b\.txt"):
        fetch_from_wheel("toys", wheel, tmp_path / "cache")


def test_no_such_wheel_names_pip_s_reason(make_wheel: MakeWheel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fetch toys: pip could not download toys==1\.0 \(ERROR: .*\)$"):
        fetch_from_wheel("toys", Wheel("toys==1.0", "", {"a": "a"}, ""), tmp_path / "cache")


def test_a_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: No module named pip\n")

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(UserError, match="fetch toys: needs pip in this Python"):
        fetch_from_wheel("toys", Wheel("toys==1.0", "", {"a": "a"}, ""), tmp_path / "cache")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path))
    for name, wheel in WHEELS.items():
        for target in wheel.members.values():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / target).write_text("there already")
        there = dict.fromkeys(wheel.members.values(), hashlib.sha256(b"there already").hexdigest())
        assert wheel.files.keys() == there.keys(), "every file has its checksum"
        monkeypatch.setitem(WHEELS, name, replace(wheel, files=there))
        assert fetch(name) == tmp_path / name
    with pytest.raises(UserError, match=r"fetch ml-1m: .*files\.grouplens\.org/.*/ml-1m\.zip.* data\.path"):
        fetch("ml-1m")
    with pytest.raises(UserError, match="fetch ml-2m: unknown; it must be one of ml-100k, smollm2"):
        fetch("ml-2m")


def test_the_cache_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"fetch ml-100k: .* cannot be a folder; is RECDISTILL_CACHE right\?"):
        fetch("ml-100k")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECDISTILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "recdistill"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "recdistill"
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_sha256_of(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
