"""Runs of runs: benchmarks, studies, tuning."""

__all__: list[str] = []
