"""The version of the package, written in one place."""

__version__ = "0.1.0"
