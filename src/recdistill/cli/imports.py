"""The first import of torch and its friends: seconds in which the garbage collector would find nothing."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_import(module: str) -> Iterator[None]:
    """Let the garbage collector rest while `module` is imported in the block, and pass over what came with it later on.

    Imports make millions of objects and hardly any garbage, and the pipeline collects after each step: to walk through
    all of them takes half a second each time. Nothing is done where the module is there already: then the process is
    not the command line's own.

    Args:
        module: its whole name.
    """
    if module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
