"""How much of a teacher's lists is memory (`recdistill.distill.target_memorisation`), for any runs; JSON lines.

    python benchmarks/lists.py runs/studies/ml-latest-small-quarter/main/seed-*

The export of a run writes the same beside its lists; this is for many runs at once, and for those of earlier versions.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from recdistill.data.prepared import PreparedData
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.target_memorisation import target_memorisation
from recdistill.storage.files import read_json


def measure(run: Path) -> dict[str, Any]:
    """The run, its folds, and what its lists know of the targets trained on, and of validation's."""
    data = PreparedData.load(run / "prepare")
    teacher = read_json(run / "teacher" / "manifest.json")
    about = read_json(run / "teacher_outputs" / "outputs.json")
    # Mixed histories change the data's fingerprint, so what the store names is taken for it.
    reader = OutputsReader(
        run / "teacher_outputs", Fingerprints(about["data"], data.split_fingerprint, teacher["fingerprint"])
    )
    folds = teacher["config"].get("folds", 0)
    return {"run": str(run), "folds": folds} | target_memorisation(reader, data, int(teacher["inputs"]["seed"]))


def main() -> None:
    """Measure each run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with the finished step export")
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
