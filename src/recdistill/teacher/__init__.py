"""The teacher: gated LoRA experts around a language model, its prompts, its head, its predictions."""

__all__: list[str] = []
