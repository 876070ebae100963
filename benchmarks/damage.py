"""Damage the files of finished and interrupted runs one at a time, and see whether a command uses one as good.

    python benchmarks/damage.py --out runs/damage                  # 300 damages
    python benchmarks/damage.py --out runs/damage --damages 12     # fewer

Each damage is seeded: a folder of `small_chain.py`'s lap (run, bundle, added items, study, tune, bench, and a run that
was interrupted in each of its steps), a kind of file in it, a damage, and a command that reads the file. It was

- named: the command ended with one line that tells the file or its folder, and exit status 2;
- rebuilt: the command said what was damaged, and left the same files as without damage;
- harmless: the command said nothing, and what it printed and left is the same as without damage;
- USED: anything else.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from small_chain import ONLY, Ended, chain, differences, settle, start, state_of, wait, write_inputs

DAMAGES = ("truncate", "flip", "swap", "foreign", "empty", "missing")
NOT_READ = re.compile(r"tensorboard|\.lock$|/logs/|/work/|\.svg$|\.html$|\.md$")
"""Files that nobody reads back: pages for people, and logs."""
SAID = re.compile(r"damaged|again|anew|dropped|left out|not whole")
STEPS = {"student": 2, "teacher": 2, "distilled": 1}
"""Steps that are interrupted, and behind which of their checkpoints."""


def readers(inputs: Path, lap: Path, file: str) -> dict[str, list[str]]:
    """The commands that read a file, by name, `make` first: the one that makes it again."""
    run, bundle, more, commands = lap / "run", lap / "run" / "bundle", lap / "more", chain(inputs, lap)
    asked = ["i3", "i4", "--json"]
    if file.startswith("run/bundle/"):
        return {"recommend": ["recommend", str(bundle), *asked], "make": commands["bundle"]}
    if file.startswith("more/"):
        return {"recommend": ["recommend", str(more), *asked]}
    if file.startswith("study/"):
        return {"make": commands["study"], "compare": ["compare", str(lap / "study"), "--json", "--permutations=20"]}
    if file.startswith("tuned/"):
        return {"make": commands["tune"]}
    if file.startswith("bench/"):
        return {"make": commands["bench"], "report": [*commands["bench"], "--report_only"]}
    if file.startswith("stopped"):
        again = ["run", "--config", str(inputs / "base.yaml"), "--run", str(lap / file.split("/")[0])]
        return {"make": again}
    found = {"make": commands["run"]}
    if file.startswith(("run/prepare", "run/student", "run/distilled")):
        found["recommend"] = ["recommend", str(run), *asked, "--model", "student"]
        found["bundle"] = ["bundle", str(run), "--out", str(lap / "other-bundle")]
    if file.startswith("run/evaluation"):
        found["compare"] = ["compare", str(run), str(lap / "stopped-0"), "--json", "--permutations=20"]
    return found


def stopped_at(step: str, checkpoints: int) -> Callable[[], None]:
    """In the process: end it behind a step's checkpoint of this number."""

    def prepare() -> None:
        from recdistill.training import loop

        write = vars(loop)["save_checkpoint"]
        written: list[str] = []

        def save_checkpoint(folder: Path, *rest: Any) -> None:
            write(folder, *rest)
            written.append(folder.name)
            if written.count(f"{step}.partial") == checkpoints:
                os.kill(os.getpid(), signal.SIGKILL)

        vars(loop)["save_checkpoint"] = save_checkpoint

    return prepare


def stopped_in_export() -> None:
    """In the process: a signal comes in the middle of the export."""
    from recdistill.distill import reading

    predict = vars(reading)["predict_rows"]
    read: list[int] = []

    def counted(*arguments: Any) -> Any:
        read.append(1)
        if len(read) == 12:
            signal.raise_signal(signal.SIGINT)
        return predict(*arguments)

    vars(reading)["predict_rows"] = counted


def stopped_in_evaluation() -> None:
    """In the process: it is ended when three models have been ranked."""
    from recdistill.evaluation import evaluate

    save = vars(evaluate)["save_ranking"]
    saved: list[str] = []

    def counted(*arguments: Any) -> None:
        if len(saved) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        saved.append(str(arguments[1]))
        save(*arguments)

    vars(evaluate)["save_ranking"] = counted


def prepare_lap(work: Path) -> Path:
    """A whole lap, and whole and interrupted runs beside it."""
    inputs, cache, lap = work / "inputs", work / "cache", work / "whole"
    lap.mkdir()
    for name, words in chain(inputs, lap).items():
        _must(start(words, work / f"{name}.log", cache), work / f"{name}.log")
    words = ["run", "--config", str(inputs / "base.yaml"), "--run"]
    shutil.copytree(lap / "run", lap / "stopped-0", ignore=shutil.ignore_patterns("bundle", "more"))
    stops: list[Callable[[], None]] = [stopped_at(*stop) for stop in STEPS.items()]
    stops = [stopped_in_evaluation] if ONLY else [*stops, stopped_in_export, stopped_in_evaluation]
    for number, stop in enumerate(stops, start=1):
        log, run = work / f"stopped-{number}.log", lap / f"stopped-{number}"
        if stop is stopped_in_evaluation:  # the steps before are those of the whole run
            shutil.copytree(lap / "stopped-0", run, ignore=shutil.ignore_patterns("evaluation", "report"))
        wait(start([*words, str(run)], log, cache, stop), log)
    return lap


@cache
def other_run(work: Path) -> Path:
    """A run of another seed, to swap files with."""
    words = ["run", "--config", str(work / "inputs" / "base.yaml"), "--run", str(work / "other"), "--seed=7"]
    _must(start(words, work / "other.log", work / "cache"), work / "other.log")
    return work / "other"


def _must(process: int, log: Path) -> Ended:
    ended = wait(process, log)
    if ended.status:
        raise SystemExit(ended.said[-2000:])
    return ended


def kind_of(file: str) -> str:
    """A file's kind: its place without the names of models, shards, variants and numbers."""
    plain = re.sub(r"stopped-\d", "stopped", file)
    plain = re.sub(r"(study)/[^/]+/seed-\d+", r"\1", plain)
    plain = re.sub(r"shard-\d+", "shard", plain)
    plain = re.sub(r"\.trial-\w+", ".trial", plain)
    return re.sub(r"(ranks|top_items|candidate_ranks|baselines)/\w+\.", r"\1/x.", plain)


def kinds_of(lap: Path) -> dict[str, list[str]]:
    """Files by kind. Of interrupted runs those of the step that was interrupted, else they are like the whole one's."""
    found: dict[str, list[str]] = {}
    for path in sorted(lap.rglob("*")):
        file = path.relative_to(lap).as_posix()
        stopped = file.startswith("stopped")
        if not path.is_file() or NOT_READ.search(file) or (stopped and ".partial/" not in file):
            continue
        if file.endswith((".yaml",)) or file.startswith(("bench/shared", "tuned/prepare")):
            continue
        found.setdefault(kind_of(file), []).append(file)
    return found


def damage(path: Path, how: str, lap: Path, other: Callable[[], Path], draw: random.Random) -> bool:
    """Damage a file; whether it is another one now. `other` makes the run that files are swapped with."""
    whole = path.read_bytes()
    if how == "truncate":
        path.write_bytes(whole[: draw.randrange(len(whole))] if whole else b"")
    elif how == "flip" and whole:
        place = draw.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
    elif how == "swap":
        within = Path(*path.relative_to(lap).parts[1:])
        twin = next((one for one in (other() / within, *other().rglob(path.name)) if one.is_file()), None)
        if twin:
            path.write_bytes(twin.read_bytes())
    elif how == "foreign":
        others = [one for one in sorted(lap.rglob(f"*{path.suffix}")) if one.is_file() and one != path]
        if others:
            path.write_bytes(draw.choice(others).read_bytes())
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
        return True
    return path.read_bytes() != whole


class Bench:
    """The whole lap, and what each reader prints and leaves of it."""

    def __init__(self, work: Path) -> None:
        self.work, self.whole, self.lap = work, prepare_lap(work), work / "lap"
        self.wanted: dict[tuple[str, ...], tuple[str, dict[str, str]]] = {}

    def fresh(self) -> None:
        """A copy of the whole lap, at the place that its commands name."""
        shutil.rmtree(self.lap, ignore_errors=True)
        shutil.copytree(self.whole, self.lap)

    def read(self, words: list[str]) -> tuple[Ended, str, dict[str, str]]:
        """How a command ended, what it printed that is no log, and all files then."""
        log = self.work / "damaged.log"
        ended = wait(start(words, log, self.work / "cache"), log)
        printed = [line for line in ended.said.splitlines() if line.startswith(("{", "  ", "recdistill"))]
        return ended, "\n".join(printed), state_of(self.lap)

    def without_damage(self, words: list[str]) -> tuple[str, dict[str, str]]:
        """What a command prints and leaves of the whole lap."""
        key = tuple(words)
        if key not in self.wanted:
            self.fresh()
            ended, printed, state = self.read(words)
            if ended.status:
                raise SystemExit(f"{' '.join(words)}: {ended.said[-1500:]}")
            self.wanted[key] = printed, state
        return self.wanted[key]

    def one(self, file: str, how: str, reader: str, draw: random.Random) -> dict[str, Any] | None:
        """Damage a file and read it; None where the damage left it as it was."""
        words = readers(self.work / "inputs", self.lap, file)[reader]
        printed, state = self.without_damage(words)
        self.fresh()
        if not damage(self.lap / file, how, self.lap, partial(other_run, self.work), draw):
            return None
        ended, says, left = self.read(words)
        different = [one for one in differences(left, state) if reader == "make" or not one.startswith(file)]
        found = _found(ended, file, says == printed, different)
        return {"file": file, "damage": how, "command": words[0], "found": found} | {
            "told": (ended.lines or [line for line in ended.said.splitlines() if SAID.search(line)])[:1],
            "different": different[:5],
        }  # fmt: skip


def _found(ended: Ended, file: str, same_print: bool, different: list[str]) -> str:
    parts = Path(file).parts
    if ended.is_told:
        return "named" if any(part in ended.lines[0] for part in parts[-2:]) else "USED (told of something else)"
    if ended.status or "Traceback" in ended.said:
        return f"USED (ended with {ended.status})"
    if different or not same_print:
        return "USED"
    return "rebuilt" if any(SAID.search(line) for line in ended.said.splitlines()) else "harmless"


def run_damages(out: Path, count: int, seed: int) -> int:
    """All damages that `damage.jsonl` does not hold yet; every kind of file has its turn before one has its second.

    Returns:
        How often a damaged file was used.
    """
    out.mkdir(parents=True, exist_ok=True)
    work, lines = out / "work", out / "damage.jsonl"
    shutil.rmtree(work, ignore_errors=True)
    write_inputs(work / "inputs")
    settle(work)
    bench = Bench(work)
    kinds = kinds_of(bench.whole)
    done = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    turn = len(done)
    while len(done) < count:
        draw = random.Random(seed * 100_000 + turn)
        kind = sorted(kinds, key=lambda name: random.Random(f"{seed} {name}").random())[turn % len(kinds)]
        turn += 1
        file = draw.choice(kinds[kind])
        commands = list(readers(work / "inputs", bench.lap, file))
        # The command that makes it again is slow for a step of a run, so it is drawn less often there.
        often = "make" not in commands or (len(commands) > 1 and draw.random() >= 0.4)
        reader = draw.choice(commands) if often else "make"
        one = bench.one(file, draw.choice(DAMAGES), reader, draw)
        if one is not None:
            done.append({"kind": kind} | one)
            with lines.open("a") as opened:
                opened.write(json.dumps(done[-1]) + "\n")
    return sum(one["found"].startswith("USED") for one in done)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--damages", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], help="These commands of a lap alone; empty: all.")
    options = parser.parse_args(arguments)
    ONLY[:] = options.only
    return 1 if run_damages(options.out, options.damages, options.seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
