"""Clock, memory, environment, and what was seen of each setting."""

__all__: list[str] = []
