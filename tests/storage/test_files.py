import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from recdistill.errors import UserError
from recdistill.storage.files import (
    atomic_path,
    disk_errors,
    map_array,
    read_json,
    read_tensors,
    write_array,
    write_json,
    write_text,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "a.txt", "été\n")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "été\n"
    assert names(tmp_path / "deep") == {"a.txt"}


def test_readers_see_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_inside_the_block_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text.encode(encoding)[:3])
        raise OSError(code, "full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"a\.json: .*nothing half-written was kept") as caught:
        write_json(tmp_path / "a.json", {"long": "enough"})
    assert "\n" not in str(caught.value)
    assert not names(tmp_path)


def test_safetensors_own_error_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights: no space left on the disk"), disk_errors(tmp_path / "weights"):
        raise SafetensorError(f"I/O error: No space left on device (os error {errno.ENOSPC})")
    with pytest.raises(SafetensorError, match="header"), disk_errors(tmp_path / "weights"):
        raise SafetensorError("invalid header")


def test_what_may_not_be_written_is_told_and_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="may not be written"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(IsADirectoryError), disk_errors(tmp_path):
        raise IsADirectoryError(errno.EISDIR, "is a folder")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not names(tmp_path)


def test_json_round_trip_keeps_other_scripts_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"title": "七人の侍"})
    assert "七人の侍" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"title": "七人の侍"}


def test_broken_json_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n"a": 1,\n}')
    with pytest.raises(UserError, match=r"a\.json:3: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("read", [read_json, map_array, read_tensors])
def test_what_cannot_be_read_is_named_and_not_taken_for_the_folder_that_is_written(
    tmp_path: Path, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / "teacher.partial"
    with pytest.raises(UserError, match=f"^{tmp_path}: a folder, where a file was expected$"), disk_errors(partial):
        read(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    (tmp_path / "a").write_bytes(b"")
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"a: may not be read$"), disk_errors(partial):
        read(tmp_path / "a")


def test_json_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"title": "caf\xe9"}')
    with pytest.raises(UserError, match=r"a\.json: not UTF-8 text"):
        read_json(tmp_path / "a.json")


def test_arrays_are_mapped_and_hold_no_pickle(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", np.arange(5, dtype=np.int32))
    array = map_array(tmp_path / "a.npy")
    assert isinstance(array, np.memmap)
    assert array.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="allow_pickle"):
        write_array(tmp_path / "b.npy", np.array([{}], dtype=object))
    assert names(tmp_path) == {"a.npy"}


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all"])
def test_a_broken_array_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npy: not a whole \.npy file"):
        map_array(tmp_path / "a.npy")


def test_a_cut_array_names_the_file(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", np.arange(1000))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-8])
    with pytest.raises(UserError, match=r"a\.npy: not a whole"):
        map_array(tmp_path / "a.npy")


def test_json_is_written_with_a_last_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("]\n")
    assert json.loads(text) == [1]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match="no space left"):
        write_text(tmp_path / "deep" / "a.txt", "text")


def test_files_may_be_read_by_whoever_may_read_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_path(tmp_path / "weights.safetensors") as temporary:
        save_file({"w": torch.ones(2)}, temporary)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
