"""Commands of several processes in which one meets what a machine may do to it."""

import errno
import os
import sys
from typing import Any


def without_room_for_a_shard(words: list[str]) -> None:
    """The disk is full for whoever writes shard 3."""
    from recdistill.storage.shards import GrowingArray

    append = GrowingArray.append

    def full(self: GrowingArray, rows: Any) -> None:
        if "shard-00003" in str(self._file.name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, rows)

    vars_of(GrowingArray, "append", full)
    _run(words)


def without_memory(words: list[str]) -> None:
    """The first process cannot hold a batch of the export."""
    from recdistill.distill import reading

    def lacking(*arguments: Any) -> None:
        raise MemoryError("cannot allocate 9 GiB")

    if os.environ["RANK"] == "0":
        vars_of(reading, "predict_rows", lacking)
    _run(words)


def vars_of(owner: object, name: str, value: object) -> None:
    """Put another in a function's place, in this process alone."""
    setattr(owner, name, value)


def _run(words: list[str]) -> None:
    from recdistill.cli import main

    sys.exit(main(words))
