"""The store of the teacher's outputs, and what a student learns from them."""

__all__: list[str] = []
