"""In what two configurations differ, for messages."""

import re
from typing import Any

FINGERPRINT = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")
SHOWN_DIGITS = 8


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two configurations differ, each as `key: old → new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [
            line for key in keys for line in changed_keys(old.get(key), new.get(key), f"{prefix}.{key}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, tuple):  # JSON has no tuples
        new = list(new)
    return [] if old == new else [f"{prefix}: {_shown(old)} → {_shown(new)}"]


def _shown(value: Any) -> str:
    """A value as a message has it; of a fingerprint the beginning tells it from another."""
    return f"{value[:SHOWN_DIGITS]}…" if isinstance(value, str) and FINGERPRINT.fullmatch(value) else repr(value)
