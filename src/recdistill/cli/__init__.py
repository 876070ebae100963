"""The command line: parses, calls the pipeline, prints."""

from recdistill.cli.commands import main

__all__ = ["main"]
