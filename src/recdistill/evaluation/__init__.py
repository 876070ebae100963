"""Full ranking, metrics, intervals, paired tests and slices; comparisons of finished runs."""

__all__: list[str] = []
