"""One cell of the matrix in a process of its own: `python -m recdistill.experiments.bench.cell SPEC.json OUT.json`."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from recdistill.errors import UserError
from recdistill.experiments.bench.cell_run import CellRun
from recdistill.experiments.bench.process import pin, watch_parent
from recdistill.experiments.bench.results import Outcome, Status
from recdistill.experiments.bench.spec import CellSpec
from recdistill.interruption import Interrupted, handled_signals
from recdistill.pipeline.memory import is_lack
from recdistill.progress import set_up_logging
from recdistill.storage.files import write_json
from recdistill.storage.typed import read_typed


def main(arguments: Sequence[str]) -> int:
    """Run the cell of the first file and write what came of it to the second.

    Returns:
        0 where a result was written, be it a refusal; 130 or 143 after a signal, without one; whatever else goes wrong
        is Python's to tell, on stderr.
    """
    specification, out = map(Path, arguments)
    spec = read_typed(specification, CellSpec)
    watch_parent(spec["parent"])
    pin(spec["threads"])
    set_up_logging(quiet=False)
    cell: CellRun | None = None
    try:
        with handled_signals():
            cell = CellRun(spec)
            found: Outcome = {"status": "finished", "reason": ""}
            if measured := cell.run():
                found = {**found, **measured}
    except Interrupted as stopped:
        shutil.rmtree(spec["work"], ignore_errors=True)
        return stopped.exit_status
    except UserError as error:
        ended: Status = "failed" if cell is not None and cell.began else "refused"
        found = {"status": ended, "reason": str(error)}
    except (RuntimeError, MemoryError) as error:
        if cell is None or not is_lack(error):
            raise
        found = {"status": "out_of_memory", "reason": cell.lack_sentence(error)}
    shutil.rmtree(spec["work"], ignore_errors=True)
    write_json(out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
