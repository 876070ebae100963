"""Names out of files of strangers, before they become paths."""

from recdistill.printable import printable_value

LONGEST = 200
"""Bytes of a name; file systems take 255, and endings come behind."""


def is_own_name(name: str) -> bool:
    """Whether a name is that of a file or folder in the folder that it is said to be in, and nowhere else.

    No separator of any system, no `..`, nothing hidden, nothing that a terminal would obey, and not too long.
    """
    return (
        name != ""
        and not name.startswith(".")
        and not set(name) & set("/\\")
        and printable_value(name) == name
        and len(name.encode()) <= LONGEST
    )
