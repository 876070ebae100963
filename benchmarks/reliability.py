# ruff: noqa: E501 (sentences of a page)
r"""Write docs/reliability.md from what `torture.py` and `damage.py` found.

    python benchmarks/reliability.py --torture runs/torture/torture.jsonl --damage runs/damage/damage.jsonl --cost RUN \
        --fuzz fuzz.jsonl --guided fuzz-guided.jsonl
    python benchmarks/reliability.py                 # the page alone, from docs/results/reliability/
    python benchmarks/reliability.py --check         # whether the page is that of the figures

The figures are kept in docs/results/reliability/, from which the page alone is written again.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, FIGURES = ROOT / "docs" / "reliability.md", ROOT / "docs" / "results" / "reliability"
KINDS = {
    "kill": "`kill -9` at a random moment",
    "rename": "`kill -9` right before or behind a rename",
    "term": "SIGTERM at a random moment",
    "interrupt": "Ctrl-C at a random moment",
    "full": "no file grows beyond a random size",
    "disk": "a full disk (a tmpfs with room for a few pages more)",
    "read-only": "folders that may not be written",
    "slow": "`kill -9` on a slow disk (50 ms for each flush)",
    "two": "the same command twice at a time",
    "clock": "`kill -9` under a clock that jumps by days",
}
HEAD = """# Reliability

Figures of `benchmarks/torture.py` and `benchmarks/damage.py`, written by `benchmarks/reliability.py`; see
[damaged files](run-folder.md#damaged-files) for what is checked and when. Both scripts run a chain of all commands on 40
users: `run` (every step, with a random language model of one block), `bundle`, `add-items`, `study`, `tune`, `bench`.
"""

HELD = """The damages are those of seeds 1 and 2 of the script. An earlier round of 300 and this one had found eight files that were
used although they were damaged. Each was mended with a test; the one of this round was then repeated, and counts as repeated:

- `compare` left out a lost manifest, times or metrics without an error (four).
- A distillation resumed from a choice of its weight in which one bit was wrong, or whose checksum was lost (two).
- A tuning study lost the record that shows damage to its journal (two).

A damaged file that decides no result, such as a step's times, still costs the whole step. Otherwise a report would hold times
that nobody has measured.
"""
FOUND = """These scripts found four faults. Each was mended with a test:

- A cell of a bench that was killed failed when it was run again ("holds a finished export already").
- optuna's half-removed lock stayed in `tune/`.
- A lock file in a read-only folder ended in a traceback.
- A forked process that was killed while it drew a progress bar stopped the bars of all others.
"""
PARTS = {
    "bench": "a bench",
    "more": "a run with added items",
    "run/bundle": "a bundle",
    "study": "a study",
    "tuned": "a tuning study",
}
"""Folders of a lap that are no step of the run, in words."""
DAMAGED = {
    "empty": "an empty file",
    "flip": "one bit flipped",
    "foreign": "other content",
    "missing": "no file",
    "swap": "the file of another run",
    "truncate": "cut off",
}


def torture_figures(files: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Counts by kind and by command, and the laps; a disturbance that came too late to hit counts for nothing.

    Args:
        files: lines of each call of the script; memory is that of the first call.
    """
    calls = [[json.loads(line) for line in lines] for lines in files]
    found = [one for call in calls for one in call]
    laps = [one for one in found if one["kind"] == "lap"]
    hits = [one for one in found if one["kind"] in KINDS and one["hit"]]
    memory = [one["parent_mib"] for one in calls[0] if one["kind"] == "lap"]
    return {
        "kinds": {
            kind: {
                "disturbed": sum(one["kind"] == kind for one in hits),
                "survived": sum(one["kind"] == kind and one["ok"] for one in hits),
            }
            for kind in KINDS
        },
        "commands": dict(sorted(Counter(one["command"] for one in hits).items())),
        "laps": len(laps),
        "equal": sum(one["ok"] for one in laps),
        "memory_mib": [memory[0], memory[-1]] if memory else [],
        "memory_restarts": len([one for one in calls[0] if one["kind"] in KINDS]),
        "restarts": len([one for one in found if one["kind"] in KINDS]),
    }


def damage_figures(lines: Iterable[str]) -> dict[str, Any]:
    """Counts by what was found, by damage and by the part of a lap."""
    found = [json.loads(line) for line in lines]
    told = ("named", "rebuilt", "harmless", "USED")

    def counts(some: list[dict[str, Any]]) -> dict[str, int]:
        return {one: sum(each["found"].startswith(one) for each in some) for one in told}

    parts = sorted({_part(one["file"]) for one in found})
    return {
        "damages": len(found),
        "kinds": len({one["kind"] for one in found}),
        "all": counts(found),
        "by_damage": {how: counts([one for one in found if one["damage"] == how]) for how in _hows(found)},
        "by_part": {part: counts([one for one in found if _part(one["file"]) == part]) for part in parts},
    }


def fuzz_figures(lines: Iterable[str]) -> dict[str, Any]:
    """How many files were read or refused, by how many readers, and what was found."""
    found = [json.loads(line) for line in lines]
    return {
        "readers": len(found),
        "files": sum(one["files"] if "files" in one else one["read"] + one["refused"] for one in found),
        "read": sum(one.get("read", 0) for one in found),
        "findings": [f"{one['reader']}: {finding}" for one in found for finding in one["findings"]],
    }


def _hows(found: list[dict[str, Any]]) -> list[str]:
    return sorted({one["damage"] for one in found})


def _part(file: str) -> str:
    first, second = (*file.split("/"), "")[:2]
    if first.startswith("stopped"):
        return f"interrupted: {second.removesuffix('.partial')}"
    return f"{first}/{second}" if first == "run" else first


def cost_figures(run: Path) -> dict[str, Any]:
    """What checking all files of a run takes, the fastest of five first readings."""
    from recdistill.storage import checksums
    from recdistill.storage.step_files import check_step, read_manifest

    steps = [path.parent for path in sorted(run.glob("*/manifest.json"))]
    seconds = []
    for _ in range(5):
        checksums._read.clear()
        begun = time.perf_counter()
        for step in steps:
            check_step(step)
        seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    for step in steps:
        check_step(step)
    again = time.perf_counter() - begun
    manifests = [manifest for step in steps if (manifest := read_manifest(step))]
    held = [one for manifest in manifests for one in manifest.get("files", {}).values()]
    size = sum(one["bytes"] for one in held)
    return {"files": len(held), "bytes": size, "first_ms": 1000 * min(seconds), "again_ms": 1000 * again}


def page(
    torture: dict[str, Any],
    damage: dict[str, Any],
    cost: dict[str, Any],
    fuzz: dict[str, Any],
    guided: dict[str, Any],
) -> str:
    """The page."""
    lines = [HEAD, "## Interrupted at any moment", ""]
    hits = sum(one["disturbed"] for one in torture["kinds"].values())
    kills = sum(torture["kinds"][kind]["disturbed"] for kind in ("kill", "rename", "slow", "clock"))
    lines += [
        "A *lap* runs the whole chain once. Its commands are killed or disturbed, and each is started again with the same "
        f"arguments. {torture['restarts']} disturbances were tried and {hits} hit a running command, {kills} of them `kill -9`.",
        "",
        f"{torture['equal']} of {torture['laps']} laps ended with the same files as an undisturbed one, to the byte: every array, "
        "weight, graph and metric, with no file left over. Recorded times differ.",
        "",
        "| disturbance | times | survived |",
        "|---|---|---|",
    ]
    for kind, meaning in KINDS.items():
        one = torture["kinds"][kind]
        lines.append(f"| {meaning} | {one['disturbed']} | {one['survived']} |")
    by_command = ", ".join(f"`{name}` {count}" for name, count in torture["commands"].items())
    lines += [
        "",
        "*Survived*: the command ended by the signal with that signal's exit status, or with one line and exit status 2. A "
        f"disturbance that came after the command had ended is not counted. By command: {by_command}.",
        "",
    ]
    if torture["memory_mib"]:
        first, last = torture["memory_mib"]
        lines += [
            f"The process from which all commands are forked had {first:.0f} MiB resident after the first lap and {last:.0f} "
            f"MiB after the last, {torture['memory_restarts']} restarts later.",
            "",
        ]
    lines += [FOUND, "## Damaged files", ""]
    told = damage["all"]
    lines += [
        f"{damage['damages']} seeded damages over {damage['kinds']} kinds of files:",
        "",
        f"- {told['named']} were *named*: the command ended with one line.",
        f"- {told['rebuilt']} were *rebuilt*: the command said what was damaged and made it again.",
        f"- {told['harmless']} were *harmless*: the results are equal, since the file is not read, is written anew, or has the same "
        "content.",
        f"- **{told['USED']} were used unnoticed.**",
        "",
        "| damaged | named | rebuilt | harmless | used |",
        "|---|---|---|---|---|",
        *_rows({PARTS.get(name, name): one for name, one in damage["by_part"].items()}),
        "",
        "| damage | named | rebuilt | harmless | used |",
        "|---|---|---|---|---|",
        *_rows({DAMAGED[name]: one for name, one in damage["by_damage"].items()}),
    ]
    lines += [
        "",
        HELD,
        "## Malformed files",
        "",
        f"`benchmarks/fuzz.py` changes valid files at random and gives them to {fuzz['readers']} readers, each in a process of "
        f"bounded memory and time. Of {fuzz['files']:,} files {fuzz['read']:,} were read, and the others refused in one line: "
        f"{_findings(fuzz)}.",
        "",
        f"`benchmarks/fuzz_guided.py` has atheris choose the bytes by the code that they reach: {guided['files']:,} files for "
        f"{guided['readers']} of these readers, {_findings(guided)}. atheris is no dependency of the project; its version 3.0.0 "
        "installs on Python 3.11.",
        "",
        "## What the checks cost",
        "",
        f"A process checks all {cost['files']} files ({cost['bytes'] / 2**20:.1f} MiB) of the chain's run in "
        f"{cost['first_ms']:.0f} ms the first time and in {cost['again_ms']:.1f} ms after that. SHA-256 reads 1.3 GB/s on one core "
        "of the same machine.",
        "",
    ]
    return "\n".join(lines)


def _rows(counts: dict[str, dict[str, int]]) -> list[str]:
    """One row of a table for each name."""
    return [
        f"| {name} | {one['named']} | {one['rebuilt']} | {one['harmless']} | {one['USED']} |"
        for name, one in counts.items()
    ]


def _findings(fuzz: dict[str, Any]) -> str:
    found = fuzz["findings"]
    return f"**{len(found)} finding{'s' * (len(found) != 1)}**" + (f" ({'; '.join(found[:3])})" if found else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torture", type=Path, nargs="+", help="Of several calls, the longest one first.")
    for name in ("damage", "cost", "fuzz", "guided"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    FIGURES.mkdir(parents=True, exist_ok=True)
    if options.torture:
        _keep("torture", torture_figures([one.read_text().splitlines() for one in options.torture]))
    if options.damage:
        _keep("damage", damage_figures(options.damage.read_text().splitlines()))
    if options.cost:
        _keep("cost", cost_figures(options.cost))
    for name in ("fuzz", "guided"):
        if path := getattr(options, name):
            _keep(name, fuzz_figures(path.read_text().splitlines()))
    names = ("torture", "damage", "cost", "fuzz", "guided")
    made = page(*(json.loads((FIGURES / f"{name}.json").read_text()) for name in names))
    if options.check:
        return 0 if PAGE.read_text() == made else 1
    PAGE.write_text(made)
    sys.stdout.write(f"{PAGE}\n")
    return 0


def _keep(name: str, figures: dict[str, Any]) -> None:
    (FIGURES / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
