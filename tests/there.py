"""A value that may be missing by its type, and is there in a test."""

from typing import TypeVar

Value = TypeVar("Value")


def there(value: Value | None) -> Value:
    """The value; a test that meets None fails."""
    assert value is not None
    return value
