"""What workers of a Ray cluster do in tests that need nothing of torch, which takes a worker seconds to import."""

import os
import signal
import time

from recdistill.errors import UserError

FULL = "no space left on device; nothing half-written was kept"


def without_memory(piece: object) -> None:
    """Ask for more than there is."""
    raise MemoryError("cannot allocate 9 GiB")


def on_a_full_disk(piece: object) -> None:
    """Find no room."""
    raise UserError(FULL)


def killed(piece: object) -> None:
    """Be killed each time."""
    os.kill(os.getpid(), signal.SIGKILL)


def slowly(piece: int) -> int:
    """Later pieces are done sooner."""
    time.sleep(0.2 if piece % 2 == 0 else 0.01)
    return piece
