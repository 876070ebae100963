"""Several processes that do one step together."""

__all__: list[str] = []
