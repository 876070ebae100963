"""A malformed input, and what is measured of the one who reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Write = Callable[[Path], object]
Read = Callable[[Path], object]
Content = bytes | str | Callable[[], bytes]
"""Of a file; a large one is made when it is written, so that the table itself holds little."""


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        name: what is wrong, for the test's own name.
        write: makes it in an empty folder.
        read: reads it as the product does, below the parser of the command line.
        said: what the one line must hold.
        more_mib: memory beyond the common bound that this input is allowed.
    """

    name: str
    write: Write
    read: Read
    said: str = ""
    more_mib: int = 0


def written(name: str, content: Content) -> Write:
    """Writes one file."""

    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = content() if callable(content) else content
        path.write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)

    return write


def all_of(*writes: Write) -> Write:
    """Writes several files."""

    def write(folder: Path) -> None:
        for one in writes:
            one(folder)

    return write
