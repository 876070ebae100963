"""How wide letters are."""

import unicodedata


def is_wide(letter: str) -> bool:
    """Whether a letter is as wide as it is high, as Japanese ones are."""
    return unicodedata.east_asian_width(letter) in "WF"
