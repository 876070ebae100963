"""Digests of large files: all bytes, read in pieces by several threads, and remembered as long as the file stays.

A model's weights are read whole (a fine-tuned model may differ from its base in the middle of a file alone), which
takes a fifth of a second for 270 MB on two cores with SHA instructions, and nothing from the second time on.
"""

import hashlib
import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recdistill.errors import UserError
from recdistill.storage.files import read_errors, write_json

logger = logging.getLogger("recdistill")

MEMORY = "file_digests"
"""Folder of the user's cache that remembers digests, one small file for each path."""
PIECE_BYTES = 1 << 23
MOST_THREADS = 8
SETTLED_NS = 2_000_000_000
"""A file that changed less than 2 s ago is not remembered: its next change may fall into the same tick of the clock."""


def digest_of(path: Path) -> str:
    """SHA-256, as hex digits, of the SHA-256 of each piece of :data:`PIECE_BYTES`: pieces are read side by side.

    Raises:
        UserError: the file cannot be read.
    """
    with read_errors(path), path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        starts = range(0, size, PIECE_BYTES)
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            pieces = pool.map(lambda start: _piece(file.fileno(), start), starts)
            return hashlib.sha256(b"".join(pieces)).hexdigest()


def remembered_digest(path: Path, cache: Path) -> str:
    """As :func:`digest_of`, from `cache` where the same file was read before.

    "The same" is the resolved path with size, inode and the times of the last change of contents and of the file's
    record. Contents written in place change the last of these, which no program can set, so it also tells where a copy
    kept the older one's time.

    Raises:
        UserError: the file cannot be read.
    """
    path = path.resolve()
    with read_errors(path):
        before, now = _identity(path), time.time_ns()
        entry = cache / MEMORY / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
        if (digest := _recall(entry, before)) is not None:
            return digest
        digest = digest_of(path)
        if _identity(path) == before and now - before["changed_ns"] > SETTLED_NS:
            _remember(entry, before, digest)
    return digest


def _piece(file: int, start: int) -> bytes:
    """SHA-256 of one piece; reading and hashing both let other threads run."""
    digest, place, end = hashlib.sha256(), start, start + PIECE_BYTES
    while place < end and (part := os.pread(file, end - place, place)):
        digest.update(part)
        place += len(part)
    return digest.digest()


def _identity(path: Path) -> dict[str, int]:
    """What changes when a file does."""
    found = path.stat()
    return {
        "size": found.st_size,
        "modified_ns": found.st_mtime_ns,
        "changed_ns": found.st_ctime_ns,
        "inode": found.st_ino,
    }


def _recall(entry: Path, identity: dict[str, int]) -> str | None:
    """The digest that was remembered of this very file; None where there is none, or the memory is unreadable."""
    try:
        known = json.loads(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known["digest"] if isinstance(known, dict) and known.items() >= identity.items() else None


def _remember(entry: Path, known: dict[str, int], digest: str) -> None:
    """Write it down for the next time; a cache that takes nothing costs the time of reading again, and is told."""
    try:
        write_json(entry, known | {"digest": digest})
    except UserError as error:
        logger.warning("a model's files are read whole each time, since %s", error)
