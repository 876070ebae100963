"""Tuning of the student on validation."""

__all__: list[str] = []
