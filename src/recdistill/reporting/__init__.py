"""From a run's files to what they show: Markdown, HTML, the terminal."""

__all__: list[str] = []
