"""`prepare` for interactions that do not fit into memory: read, filter and sort a block at a time, on the disk."""

__all__: list[str] = []
