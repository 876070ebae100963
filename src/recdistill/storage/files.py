"""Writing files so that a reader sees the old content or the new, never half of it."""

import errno
import hashlib
import json
import math
import os
import re
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from recdistill.errors import UserError
from recdistill.printable import one_line

if TYPE_CHECKING:
    from torch import Tensor

FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "no space left (the disk quota is used up)",
    errno.EFBIG: "the file would be larger than this system allows",
}
"""Errors of a disk that takes no more, and how they are told."""
ARRAY_ERRORS = (
    ValueError,
    EOFError,
    OverflowError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,
    RecursionError,
)
"""What NumPy raises of headers that say what they cannot mean; the header is a Python literal."""
LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""How half of a character that takes two is written; it may stand beside its other half."""
UMASK = os.umask(0o022)
"""The rights that this process's new files do not get; it can be read only by setting it."""
os.umask(UMASK)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that may not be written into a :class:`UserError` that names `path`.

    Raises:
        UserError: the disk is full, a quota or a limit on file sizes is reached, or writing is not permitted.
    """
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in FULL:
            raise UserError(f"{path}: {FULL[code]}; nothing half-written was kept") from error
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(f"{path}: may not be written ({os.strerror(code)})") from error
        raise
    except SafetensorError as error:
        # safetensors writes by itself and puts the system's error number into the text of its own error.
        found = re.search(r"os error (\d+)", str(error))
        if found is None or int(found[1]) not in FULL:
            raise
        raise UserError(f"{path}: {FULL[int(found[1])]}; nothing half-written was kept") from error


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn a file that cannot be read into a :class:`UserError` that names it.

    Without this a step would take it for its own folder, into which it cannot write (:func:`disk_errors`).

    Raises:
        UserError: it is missing, a folder, not text in UTF-8 where it is read as text, or may not be read.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: a folder, where a file was expected") from error
    except PermissionError as error:
        raise UserError(f"{path}: may not be read") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; move it to `path` when the block ends well, remove it otherwise.

    The file is flushed to the disk before it is moved, so that a power cut leaves the old file or the new one. Whoever
    may read new files here may read it; safetensors by itself gives rights to the owner alone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~UMASK)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def clear_temporary(folder: Path) -> None:
    """Remove what :func:`atomic_path` left in `folder` and below, of a process that was killed while it wrote."""
    for path in folder.rglob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused since JSON has no such numbers."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class _NotStrictError(ValueError):
    """JSON that Python's reader takes and the standard does not, or that means two things."""


def read_json(path: Path) -> Any:
    """Read a JSON file, strictly: no key twice in an object, no NaN or infinity, no lone surrogate.

    Raises:
        UserError: the file cannot be read or is not such JSON.
    """
    try:
        with read_errors(path):
            text = path.read_text(encoding="utf-8")
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from error
    except _NotStrictError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def parse_json(text: str) -> Any:
    """What JSON text holds, as :func:`read_json` reads it.

    Raises:
        ValueError: it is not such JSON.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_number)
    except RecursionError as error:
        raise _NotStrictError("nested too deeply") from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise _NotStrictError(str(error).partition(":")[0]) from error
    if LONE_SURROGATE.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _NotStrictError("a lone surrogate, which is no character") from error
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise _NotStrictError(f"{twice!r} is there twice")
    return found


def _number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(constant: str) -> float:
    raise _NotStrictError(f"{constant} is no number of JSON")


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write a NumPy array (`.npy`, no pickle) atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read a safetensors file.

    Raises:
        UserError: the file cannot be read or is broken.
    """
    from safetensors.torch import load_file

    with read_errors(path):
        path.open("rb").close()
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error
    return tensors


def require_finite(tensors: Mapping[str, "Tensor"], path: Path) -> None:
    """Refuse weights that are none: a model of them would answer, with nothing.

    Raises:
        UserError: a value is a whole number, not a number, or infinite; names the tensor.
    """
    for name, value in tensors.items():
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise UserError(f"{path}: {name} holds what is no finite number")


def map_array(path: Path, kinds: str = "", ndim: int | None = None) -> np.ndarray[Any, Any]:
    """Memory-map a `.npy` file for reading.

    Args:
        path: the file.
        kinds: NumPy's letters of the kinds of values that it may hold, as `i` for whole numbers; empty: any.
        ndim: how many axes it must have; None: any number.

    Raises:
        UserError: the file cannot be read, is not a whole `.npy` file, or holds objects or another form.
    """
    try:
        with read_errors(path):
            array: np.ndarray[Any, Any] = np.lib.format.open_memmap(path, mode="r")
    except ARRAY_ERRORS as error:
        raise UserError(f"{path}: not a whole .npy file ({one_line(str(error))})") from error
    if (kinds and array.dtype.kind not in kinds) or array.ndim != (array.ndim if ndim is None else ndim):
        raise UserError(f"{path}: holds {array.dtype} of shape {array.shape}, which is not what was written there")
    return array


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
