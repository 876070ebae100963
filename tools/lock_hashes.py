"""Write the hashes of all packages into a lock file, as pip reports them: of the wheels for each Python and system.

    python tools/lock_hashes.py requirements.lock requirements-serve.lock requirements-docs.lock

Comments stay at the head; behind each `name==version` stand the hashes of the wheels that pip takes for CPython 3.11 to
3.13 on Linux (x86_64, aarch64) and macOS (arm64), or of the source where there is no wheel. pip asks its default index
alone, and no file names an index. Nothing but metadata is downloaded where the index has it apart.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
LINUX = (*(f"_2_{minor}" for minor in range(40, 4, -1)), "2014", "2010", "1")
"""The newest first, as pip prefers them."""
SYSTEMS = {
    "Linux x86_64": [f"manylinux{version}_x86_64" for version in LINUX],
    "Linux aarch64": [f"manylinux{version}_aarch64" for version in LINUX],
    "macOS arm64": [f"macosx_{version}_0_arm64" for version in (11, 12, 13, 14)],
}


def pins(path: Path) -> tuple[list[str], list[str]]:
    """The comments at the head of a lock file, and its lines `name==version` without hashes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    return head, [found[1] for line in lines if (found := re.match(r"([A-Za-z0-9_.\-\[\]]+==[^ \\;]+)", line))]


def reported(names: list[str], *options: str) -> dict[str, str]:
    """Requirement → sha256 of the file that pip would take; what it cannot have is left out, one by one.

    Raises:
        SystemExit: pip is not there.
    """
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder) / "names.txt", Path(folder) / "report.json"
        listed.write_text("\n".join(names) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        command += [f"--report={report}", f"--target={folder}/to", *options, "-r", str(listed)]
        # Without its files of configuration pip asks the default index alone, and its answer is everybody's.
        environment = {key: value for key, value in os.environ.items() if key not in ("PIP_FIND_LINKS",)}
        done = subprocess.run(
            command,
            env=environment | {"PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            installs = json.loads(report.read_text(encoding="utf-8"))["install"]
            for name, one in zip(_ordered(names, installs), installs, strict=True):
                found[name] = one["download_info"]["archive_info"]["hashes"]["sha256"]
            return found
        missing = re.findall(r"No matching distribution found for (\S+)", done.stderr)
    left = [name for name in names if name not in missing]
    if len(left) == len(names):
        raise SystemExit(f"lock_hashes: pip: {done.stderr.strip().splitlines()[-1]}")
    return reported(left, *options) if left else {}


def _ordered(names: list[str], installs: list[dict[str, dict[str, str]]]) -> list[str]:
    """The requirements in the order of pip's report."""
    by_name = {_plain(name.partition("==")[0]): name for name in names}
    return [by_name[_plain(one["metadata"]["name"])] for one in installs]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()


def hashes(names: list[str]) -> dict[str, set[str]]:
    """Requirement → hashes of its files."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for (system, tags), python in product(SYSTEMS.items(), PYTHONS):
        options = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
        options += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
        taken = reported(names, *options, *(f"--platform={tag}" for tag in tags))
        for name, digest in taken.items():
            found[name].add(digest)
        sys.stderr.write(f"{system}, Python {python}: {len(taken)} of {len(names)}\n")
    for name in [name for name, held in found.items() if not held]:
        found[name] |= set(reported([name], "--no-binary=:all:").values())
    return found


def main() -> None:
    """Rewrite the lock files that are named."""
    for path in map(Path, sys.argv[1:]):
        head, names = pins(path)
        found = hashes(names)
        lines = [" \\\n    ".join([name, *(f"--hash=sha256:{one}" for one in sorted(found[name]))]) for name in names]
        path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
