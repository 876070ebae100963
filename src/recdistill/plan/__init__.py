"""Memory, FLOPs and time of a teacher on paper, from the shapes of its language model."""

__all__: list[str] = []
