"""Write `docs/results.md` from what `recdistill compare --json` left in `docs/results/<study>/<split>.json`.

    recdistill study configs/studies/planted.yaml
    recdistill compare runs/studies/planted/*/seed-* --group --baseline main:student --json > test.json
    mv test.json docs/results/planted
    python docs/generate_results.py            write the page
    python docs/generate_results.py --check    exit with status 1 if it is out of date

No number of the page is typed: all stand in those files. A model that arms share (the student, mostly) is shown once.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recdistill.reporting.comparison import comparison_tables

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/results.md", ROOT / "docs/results"

HEAD = """\
# Results

Written by `docs/generate_results.py` from the files in [docs/results](results); do not edit by hand. What was tried on
the way, and what did not help, stands in [experiments](experiments.md); how intervals and tests are made, in
[evaluation](evaluation.md); what the arms are, in the study's file. Choices are made on validation; a section that
says "test" is the last reading of settings that were chosen before.

Cost is the mean over an arm's runs. A step that an arm shares with another was done once; its cost is shown with both.
"""


def unlike(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without those of a model that an earlier arm has with the very same values."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for entry in entries:
        key = (entry["model"], entry["seeds"], entry["mean"], entry["std"])
        if key not in seen:
            kept.append(entry)
        seen.add(key)
    return kept


def section(path: Path) -> str:
    """One study on one split."""
    found = json.loads(path.read_text(encoding="utf-8"))
    found["entries"] = unlike(found["entries"])
    shown = {(entry["arm"], entry["model"]) for entry in found["entries"]}
    for parts in found["slices"].values():
        for part in parts:
            part["entries"] = [entry for entry in part["entries"] if (entry["arm"], entry["model"]) in shown]
    name, study = path.parent.name, f"configs/studies/{path.parent.name}.yaml"
    against = sorted({":".join(e["against"].values()) for e in found["entries"] if "against" in e})
    baseline = f" --baseline {against[0]}" if len(against) == 1 else ""
    lines = [
        f"## {name}, {found['split']}",
        "",
        f"[{study}](../{study}) with `evaluate.split: {found['split']}`; [{path.name}](results/{name}/{path.name})",
        "",
        "```console",
        f"$ recdistill study {study}",
        f"$ recdistill compare runs/studies/{name}/*/seed-* --group{baseline} --json",
        "```",
        "",
        "```text",
        comparison_tables(found),
        "```",
    ]
    return "\n".join(lines)


def page() -> str:
    """The whole page, studies and splits in the order of their names."""
    return "\n\n".join([HEAD.rstrip(), *sections()]) + "\n"


def sections() -> Iterator[str]:
    """One for each file."""
    for path in sorted(RESULTS.glob("*/*.json")):
        if path.stem in ("validation", "test"):
            yield section(path)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if the page is out of date")
    if parser.parse_args().check:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
