"""One training loop, and what it trains: student, teacher, distilled student, folds, a second student."""

__all__: list[str] = []
