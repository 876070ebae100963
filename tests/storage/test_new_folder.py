import os
from pathlib import Path

import pytest

from recdistill.errors import UserError
from recdistill.storage.new_folder import new_folder, repaired


def make(out: Path, content: str) -> None:
    with new_folder(out, replaces="file") as folder:
        (folder / "file").write_text(content)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the process's own runs behind it."""


def killed(out: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Write the folder anew, in a process that is killed before its rename number `at`, counted from 0."""
    renames: list[Path] = []
    real = Path.rename

    def rename(path: Path, target: Path) -> None:
        if len(renames) == at:
            raise KilledError
        renames.append(path)
        real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr("recdistill.storage.new_folder.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KilledError):
            make(out, "new")


@pytest.mark.parametrize(("at", "left"), [(0, {"out", ".out.new"}), (1, {".out.before", ".out.new"})])
def test_whoever_reads_or_writes_next_puts_right_what_a_killed_writer_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, left: set[str]
) -> None:
    out = tmp_path / "out"
    make(out, "old")
    killed(out, monkeypatch, at)
    assert {path.name for path in tmp_path.iterdir()} == left
    assert (repaired(out) / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    killed(out, monkeypatch, at)
    make(out, "newer")
    assert (out / "file").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_older_folder_gets_its_name_back_where_the_new_one_cannot_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", "old")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == ".out.new":
            raise OSError(28, "full")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="no space left"):
        make(tmp_path / "out", "new")
    assert (tmp_path / "out" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_second_writer_is_refused_and_told_of_the_first_and_a_reader_leaves_its_work_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_folder(out) as folder:
        with pytest.raises(UserError, match=rf"written by another recdistill process \(process {os.getpid()}\)"):
            make(out, "2")
        assert repaired(out) == out
        assert folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_that_is_worked_in_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "out", "old")
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(UserError, match="is there already"), new_folder(Path()):
        pass
    assert repaired(Path()) == Path()
