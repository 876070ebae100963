"""The readers of `fuzz.py`, given bytes that atheris chooses by what they reach in the code; a line of JSON a reader.

    pip install atheris
    python benchmarks/fuzz_guided.py --seconds 60 --keep build/fuzz-guided

atheris is no dependency, and is there for Linux alone. It ends a reader's process at the first finding, whose bytes it
keeps. Ends with status 1 where there was one.
"""

import argparse
import json
import logging
import re
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["recdistill"]):
    from fuzz import CHILD_SECONDS, MEMORY_BYTES, READERS

from recdistill.errors import UserError

MEMORY_MIB = MEMORY_BYTES >> 20
LONGEST_BYTES = 4096


def fuzz_reader(reader: str, seconds: int, keep: Path) -> None:
    """Read until the time is over or something is found; never returns."""
    name, valid, read = READERS[reader]
    logging.getLogger("recdistill").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp())
    (folder / "seeds").mkdir()
    (folder / "seeds" / "valid").write_bytes(valid())
    path = folder / name

    def once(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(UserError):
            read(path)

    options = [f"-max_total_time={seconds}", f"-timeout={CHILD_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"]
    options += [f"-max_len={LONGEST_BYTES}", "-print_final_stats=1", f"-artifact_prefix={keep}/"]
    atheris.Setup([sys.argv[0], *options, str(folder / "seeds")], once)
    atheris.Fuzz()


def in_a_process(reader: str, seconds: int, keep: Path) -> dict[str, Any]:
    """:func:`fuzz_reader` in a process of its own; how many files it read, and whether it ended well."""
    command = [sys.executable, __file__, "--reader", reader, "--seconds", str(seconds), "--keep", str(keep)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    found = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    kind = re.search(r"^(?:[\w.]+Error|[\w.]+Exception|.*ERROR: .*)", done.stderr, re.MULTILINE)
    findings = [kind.group(0)[:200] if kind else f"ended with {done.returncode}"] if done.returncode else []
    return {"reader": reader, "files": int(found[1]) if found else 0, "findings": findings}


def main() -> None:
    """Fuzz each reader, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="For each reader.")
    parser.add_argument("--keep", type=Path, required=True, help="Folder for the bytes of findings.")
    parser.add_argument("--reader", default="", help="This one alone, in this process.")
    parser.add_argument("--only", nargs="+", default=list(READERS), help="These readers; all, where none is named.")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    if options.reader:
        fuzz_reader(options.reader, options.seconds, options.keep)
    findings = 0
    for reader in options.only:
        found = in_a_process(reader, options.seconds, options.keep)
        findings += len(found["findings"])
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    sys.exit(int(findings > 0))


if __name__ == "__main__":
    main()
