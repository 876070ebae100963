"""Language models and sentence encoders as their files have them, and titles embedded by them."""

__all__: list[str] = []
