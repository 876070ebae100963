"""Runs of runs: benchmarks, studies, tuning."""
