"""The content of a text file as blocks of UTF-8, unpacked on the way.

Packed files (gzip, bzip2, xz, Zstandard) are known by their first bytes, whatever their names are, and are unpacked
block by block: a packed file takes no more memory than a plain one.
"""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from recdistill.errors import UserError
from recdistill.storage.files import read_errors

BLOCK_BYTES = 8 * 2**20
"""Bytes of text that are read at a time; a few blocks are in memory at once. Larger ones cost more: the allocator gives
them back to the system and fetches them anew each time."""

ZST_LINES = 100_000
"""Lines of a Zstandard file that are unpacked at a time."""

ENOUGH = 4096
"""Bytes from which the kind of a file is told."""

PACKED: dict[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""First bytes of the packed files that Python unpacks, and what opens them."""

ZST = b"\x28\xb5\x2f\xfd"


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file's content, unpacked.

    Raises:
        UserError: it is missing, a folder, may not be read, or is packed and broken.
    """
    with _unpacking(path), open_file(path) as file:
        first = file.read(ENOUGH)
        if first.startswith(ZST):
            return next(_zst_blocks(path), b"")[:ENOUGH]
        for magic, unpack in PACKED.items():
            if first.startswith(magic):
                file.seek(0)
                with unpack(file) as unpacked:
                    return unpacked.read(ENOUGH)
    return first


def text_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The text of a file in UTF-8 without a byte order mark, in blocks cut anywhere; every line ends in LF or CR LF.

    Files with CR alone (old Macs) or CR CR LF (text written twice through Windows) are known by their first block.
    In UTF-8 files bytes that are no text are left as they are, for the reader of rows to complain about.

    Raises:
        UserError: the file cannot be read, is packed and broken, or is not text in `encoding`.
    """
    blocks = _decoded(path, encoding) if _is_other(encoding) else _bytes(path)
    first = next(blocks, b"").removeprefix(codecs.BOM_UTF8)
    old, new = _line_ends(first)
    yield _replace(first, old, new)
    for block in blocks:
        yield _replace(block, old, new)


def is_utf8(path: Path) -> bool:
    """Whether all of a file is UTF-8 text.

    Raises:
        UserError: it cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in _bytes(path):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading.

    Raises:
        UserError: it is missing, a folder, or may not be read.
    """
    with read_errors(path):
        return path.open("rb")


def _bytes(path: Path) -> Iterator[bytes]:
    """A file's content in blocks, unpacked."""
    with _unpacking(path), open_file(path) as file:
        first = file.read(ENOUGH)
        if first.startswith(ZST):
            yield from _zst_blocks(path)
            return
        file.seek(0)
        unpack = next((unpack for magic, unpack in PACKED.items() if first.startswith(magic)), None)
        content: BufferedIOBase = unpack(file) if unpack else file
        while block := content.read(BLOCK_BYTES):
            yield block


def _zst_blocks(path: Path) -> Iterator[bytes]:
    """The lines of a Zstandard file. polars unpacks them: Python itself cannot before 3.14."""
    lines = pl.scan_csv(
        path, has_header=False, schema={"line": pl.String}, separator="\x00", quote_char=None, glob=False
    )
    for batch in lines.collect_batches(chunk_size=ZST_LINES, maintain_order=True):
        yield batch["line"].fill_null("").str.join("\n").item().encode() + b"\n"


def _decoded(path: Path, encoding: str) -> Iterator[bytes]:
    """The same in UTF-8, of a file in another encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in _bytes(path):
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise UserError(f"{path}: not text in {encoding} (data.encoding)") from error


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    """Turn what a broken packed file raises into a :class:`UserError`."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path}: packed, and broken or cut short ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # bz2 and polars say so of content that is broken.
        raise UserError(f"{path}: packed, and broken or cut short ({error})") from error
    except PolarsError as error:
        raise UserError(f"{path}: Zstandard, and not UTF-8 text within ({str(error).splitlines()[0]})") from error


def _is_other(encoding: str) -> bool:
    return codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig", "ascii")


def _line_ends(first: bytes) -> tuple[bytes, bytes]:
    """What to replace in all of a file for lines to end in LF or CR LF; nothing, mostly."""
    if b"\r\r\n" in first:
        return b"\r\r\n", b"\n"
    if b"\r" in first and b"\n" not in first:
        return b"\r", b"\n"
    return b"", b""


def _replace(block: bytes, old: bytes, new: bytes) -> bytes:
    return block.replace(old, new) if old else block
