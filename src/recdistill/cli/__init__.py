"""The command line: parses, calls the pipeline, prints."""

import os
import sys
from collections.abc import Sequence

from recdistill.cli import recommend

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after a mistake of the person's, which is told in one line on stderr; 130 after Ctrl-C (SIGINT) and 143
        after SIGTERM, with one line that says what was saved.
    """
    # Threads that wait for one another should sleep, not spin: on a machine that does anything else beside, spinning
    # makes each small operation wait for a whole time slice. It must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [recommend.COMMAND] and (options := recommend.read_command(words)):
        return recommend.answer(options)
    from recdistill.cli import commands  # here, since it imports the parser of all settings

    return commands.main(words)
