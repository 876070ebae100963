"""Interactions, items, splits, histories and batches: from the sources to what every step maps into memory."""

__all__: list[str] = []
