"""What a section's fields are checked by: ranges, told with the dotted key."""

import math
from typing import Any

from recdistill.errors import UserError


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise a :class:`UserError` that names `key` unless `condition` holds."""
    if not condition:
        raise UserError(f"{key}: {value!r} is out of range; it must be {rule}")


def positive(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be above zero, and finite."""
    for name in names:
        value = getattr(section, name)
        require(0 < value < math.inf, f"{prefix}.{name}", value, "above 0, and finite")


def not_negative(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be 0 or more, and finite."""
    for name in names:
        value = getattr(section, name)
        require(0 <= value < math.inf, f"{prefix}.{name}", value, "0 or more, and finite")


def fraction(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be at least 0 and below 1."""
    for name in names:
        require(0 <= getattr(section, name) < 1, f"{prefix}.{name}", getattr(section, name), "at least 0 and below 1")
