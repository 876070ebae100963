"""A trained model that answers: from a run or from a bundle."""

__all__: list[str] = []
