"""What commands share: the settings that were typed, and answers on stdout."""

import sys
from dataclasses import fields

from jsonargparse import Namespace

from recdistill.config import RunConfig
from recdistill.printable import printable


def run_config_of(options: Namespace) -> RunConfig:
    """All settings of a run, of what was parsed."""
    return RunConfig(**{field.name: getattr(options, field.name) for field in fields(RunConfig)})


def say(text: str) -> None:
    """Write to stdout what may hold names and titles of strangers."""
    sys.stdout.write(printable(text))
