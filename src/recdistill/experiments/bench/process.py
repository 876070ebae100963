"""What a cell does with its own process: cores, memory, and an end when nobody waits for it any more."""

import ctypes
import gc
import os
import platform
import signal
import threading
import time

import torch

PARENT_SECONDS = 1.0
"""How often a cell looks whether the bench that started it is still there."""


def give_memory_back() -> None:
    """Free what nothing refers to, to the system, so that the next phase's peak is its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def pin(threads: int) -> None:
    """Use this many threads, on as many cores where the system lets one choose."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])


def watch_parent(parent: int) -> None:
    """End this process's group when the bench is gone: nobody would read the result, or end it in time."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
