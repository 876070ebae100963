"""A designed experiment over settings of the teacher: each cell of a matrix in its own process, judged by its noise."""

__all__: list[str] = []
