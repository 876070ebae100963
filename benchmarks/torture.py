"""Kill a chain of all commands at random moments, resume with the same commands, and compare what is there in the end.

    python benchmarks/torture.py --out runs/torture                # 200 kills and the other disturbances
    python benchmarks/torture.py --out runs/torture --kills 6      # fewer
    python benchmarks/torture.py --out runs/torture --kinds disk   # these disturbances alone

A lap is the chain of `small_chain.py` in a new folder: `run` (every step), `bundle`, `add-items`, `study`, `tune`,
`bench`. Every command of it is disturbed a few times and begun again, and when the lap is done all files but times are
compared with those of an undisturbed lap. Each disturbance is a line of `torture.jsonl`; begun again, this resumes.
"""

import argparse
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from small_chain import ONLY, Ended, chain, differences, settle, start, state_of, wait, write_inputs

KINDS = ("kill", "rename", "term", "interrupt", "full", "disk", "read-only", "slow", "two", "clock")
SHARE = {"kill": 0.7, "rename": 0.3}
"""Of the kills: at a random moment, and right before or behind a rename."""
OTHERS = {"term": 12, "interrupt": 12, "full": 16, "disk": 16, "read-only": 6, "slow": 6, "two": 6, "clock": 6}
"""How often each other disturbance, where 200 kills are made."""
COMMANDS = {"run": 14, "bundle": 2, "add-items": 2, "study": 8, "tune": 4, "bench": 2}
"""Disturbances of one lap by command; the bench is run in every fourth lap."""
RENAMES = {"run": 90, "bundle": 12, "add-items": 8, "study": 90, "tune": 40, "bench": 40}
"""About how many renames each command makes; one that is drawn beyond the last ends undisturbed."""
TIMES = {"run": 14.0, "bundle": 1.2, "add-items": 1.5, "study": 8.0, "tune": 5.0, "bench": 6.0}
"""Seconds, before any was measured."""
WITHOUT_OVERRIDE = ~(1 << 1 | 1 << 2) & 0xFFFFFFFF
"""Capabilities but those to write and to read what the rights of a file forbid."""


@dataclass
class Lap:
    """One lap: where it is, and what its commands take."""

    folder: Path
    inputs: Path
    cache: Path
    seconds: dict[str, float]

    def log(self, name: str) -> Path:
        """What a command says."""
        return self.folder.with_suffix(f".{name}.log")

    def go(self, name: str, prepare: Callable[[], object] | None = None) -> int:
        """Start a command."""
        return start(chain(self.inputs, self.folder)[name], self.log(name), self.cache, prepare)

    def end(self, name: str, process: int) -> Ended:
        """Its end."""
        return wait(process, self.log(name))


def kill_at_rename(number: int, behind: bool) -> Callable[[], None]:
    """In the process: end it before or behind its rename of this number."""

    def prepare() -> None:
        count = 0

        def around(rename: Callable[..., None]) -> Callable[..., None]:
            def renamed(*arguments: Any, **named: Any) -> None:
                nonlocal count
                count += 1
                if count == number and not behind:
                    os.kill(os.getpid(), signal.SIGKILL)
                rename(*arguments, **named)
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            return renamed

        os.rename, os.replace = around(os.rename), around(os.replace)

    return prepare


def full_disk(most: int) -> Callable[[], None]:
    """In the process: no file grows beyond this many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


ROOMY = 1 << 30
"""Bytes of a lap's own file system, where it has one, but for a disturbance that makes it smaller."""


def mount(folder: Path, *options: str) -> bool:
    """Mount a file system in memory on a lap's folder, or change its size; whether this machine allows it."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "recdistill", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Take the file system away."""
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether a lap may have a file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("mount") is None:
        return False
    allowed = mount(folder, f"size={ROOMY}")
    unmount(folder)
    return allowed


def _small_disk(lap: Lap, name: str, draw: random.Random) -> dict[str, Any]:
    """A command on a file system that has room for a few more pages."""
    held = os.statvfs(lap.folder)
    used, room = (held.f_blocks - held.f_bfree) * held.f_frsize, int(10 ** draw.uniform(3.7, 5.5))
    if not mount(lap.folder, "remount", f"size={used + room}"):
        raise SystemExit(f"torture: {lap.folder}: no file system of its own")
    ended = lap.end(name, lap.go(name))
    mount(lap.folder, "remount", f"size={ROOMY}")
    return {"ok": ended.status == 0 or ended.is_told, "hit": ended.status != 0, "at": f"{room} bytes"} | _told(ended)


def without_rights() -> None:
    """In the process: folders that may not be written may not be written, be it root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    data[0] &= WITHOUT_OVERRIDE
    data[1] &= WITHOUT_OVERRIDE
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def slow_disk() -> None:
    """In the process: whatever is brought to the disk takes a twentieth of a second."""
    flush = os.fsync

    def fsync(file: int) -> None:
        time.sleep(0.05)
        flush(file)

    vars(os)["fsync"] = fsync


def jumping_clock() -> None:
    """In the process: the wall clock goes a day forth and two days back."""
    now, jumps = time.time, random.Random(0)
    time.time = lambda: now() + jumps.choice((-172_800.0, 0.0, 86_400.0))
    time.time_ns = lambda: int(time.time() * 1e9)


def disturb(kind: str, lap: Lap, name: str, draw: random.Random) -> dict[str, Any]:
    """Disturb a command once.

    Returns:
        `ok`: whether it ended as it must; `hit`: whether it was disturbed at all; and how.
    """
    moment = draw.uniform(0.0, 1.6) * lap.seconds[name] / COMMANDS[name]  # what is done is not done again
    if kind in ("kill", "term", "interrupt", "slow", "clock"):
        sent = {"term": signal.SIGTERM, "interrupt": signal.SIGINT}.get(kind, signal.SIGKILL)
        process = lap.go(name, {"slow": slow_disk, "clock": jumping_clock}.get(kind))
        time.sleep(moment)
        os.kill(process, sent)
        ended = lap.end(name, process)
        wanted = -sent if sent == signal.SIGKILL else 128 + sent
        # A command that was over, or had nothing left to do, has ended well.
        return {"ok": ended.status in (wanted, -sent, 0), "hit": ended.status != 0, "at": round(moment, 3)} | _told(
            ended
        )
    if kind == "rename":
        number, behind = draw.randint(1, max(6, round(1.6 * RENAMES[name] / COMMANDS[name]))), draw.random() < 0.5
        ended = lap.end(name, lap.go(name, kill_at_rename(number, behind)))
        ok, hit = ended.status in (-signal.SIGKILL, 0), ended.status != 0
        return {"ok": ok, "hit": hit, "at": f"{'behind' if behind else 'before'} rename {number}"} | _told(ended)
    if kind == "full":
        most = int(10 ** draw.uniform(3.7, 4.8))  # what it says goes to a file too
        ended = lap.end(name, lap.go(name, full_disk(most)))
        return {"ok": ended.status == 0 or ended.is_told, "hit": ended.status != 0, "at": f"{most} bytes"} | _told(
            ended
        )
    if kind == "disk":
        return _small_disk(lap, name, draw)
    if kind == "read-only":
        return _read_only(lap, name)
    return _two(lap, name, moment)


def _told(ended: Ended) -> dict[str, Any]:
    return {"status": ended.status, "told": ended.lines[-1:] or ended.said.strip().splitlines()[-1:]}


def _read_only(lap: Lap, name: str) -> dict[str, Any]:
    folders = [lap.folder, *(path for path in lap.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    ended = lap.end(name, lap.go(name, without_rights))
    for folder in folders:
        folder.chmod(0o755)
    return {"ok": ended.status == 0 or ended.is_told, "hit": ended.status != 0, "at": "all folders"} | _told(ended)


def _two(lap: Lap, name: str, moment: float) -> dict[str, Any]:
    """Begin a command while the same one runs, let both end, and see that one was refused, or that the second waited.

    The one that comes to the lock first may be the second one.
    """
    first = lap.go(name)
    time.sleep(moment)
    log = lap.log(f"{name}-second")
    other = start(chain(lap.inputs, lap.folder)[name], log, lap.cache)
    second = wait(other, log)
    ended = lap.end(name, first)
    named = any(f"process {first}" in line for line in second.lines)
    there = name == "add-items" and any("already" in line for line in second.lines)
    overtaken = second.status == 0 and ended.is_told and any(f"process {other}" in line for line in ended.lines)
    ok = overtaken or (ended.status == 0 and (second.status == 0 or (second.is_told and (named or there))))
    return {"ok": ok, "hit": named or overtaken, "at": round(moment, 3)} | _told(second)


def run_lap(
    lap: Lap, kinds: list[str], draw: random.Random, with_bench: bool, tell: Callable[[dict[str, Any]], None]
) -> None:
    """Disturb each command as often as its share says, then let it end."""
    lap.folder.mkdir()
    if "disk" in kinds:
        mount(lap.folder, f"size={ROOMY}")
    done: list[dict[str, Any]] = []
    for name in chain(lap.inputs, lap.folder):
        if name == "bench" and not with_bench:
            continue
        for _ in range(COMMANDS[name]):
            if name == "add-items" and (lap.folder / "more").exists():
                break
            if kinds:
                kind = kinds.pop()
                done.append({"kind": kind, "command": name} | disturb(kind, lap, name, draw))
        ended = Ended(0, "")
        if not (name == "add-items" and (lap.folder / "more").exists()):
            ended = lap.end(name, lap.go(name))
        if ended.status:
            done.append({"kind": "end", "command": name, "ok": False, "hit": True} | _told(ended))
    for one in done:
        tell(one)


def memory_mib() -> float:
    """Resident size of this process, from which all are forked."""
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def plan(kills: int, draw: random.Random, only: Collection[str] = ()) -> list[str]:
    """The kinds of all disturbances, in a random order; those of `only` alone, where it names any."""
    kinds = ["kill"] * round(kills * SHARE["kill"]) + ["rename"] * round(kills * SHARE["rename"])
    for kind, count in OTHERS.items():
        kinds += [kind] * max(1, round(count * kills / 200))
    draw.shuffle(kinds)
    return [kind for kind in kinds if not only or kind in only]


def torture(out: Path, kills: int, seed: int, only: Collection[str] = ()) -> int:
    """All laps, without disturbances that the machine does not allow, and those that `torture.jsonl` holds already.

    Returns:
        How many disturbances were not survived.
    """
    out.mkdir(parents=True, exist_ok=True)
    work, lines = out / "work", out / "torture.jsonl"
    shutil.rmtree(work, ignore_errors=True)
    before = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    kinds = plan(kills, random.Random(seed), only)
    if not can_mount(work / "mounted"):
        kinds = [kind for kind in kinds if kind != "disk"]
    for one in before:
        if one["kind"] in kinds and one.get("hit"):
            kinds.remove(one["kind"])
    write_inputs(work / "inputs")
    settle(work)
    seconds, wanted = _undisturbed(work)
    number = 1 + max((one["lap"] for one in before), default=-1)
    while kinds:
        lap = Lap(work / f"lap-{number}", work / "inputs", work / "cache", seconds)
        told: list[dict[str, Any]] = []
        begun = time.monotonic()
        with_bench = number % 4 == 0
        run_lap(lap, kinds, random.Random(seed * 1000 + number), with_bench, told.append)
        kinds = [one["kind"] for one in told if not one["hit"] and one["kind"] in KINDS] + kinds
        due = {name: one for name, one in wanted.items() if with_bench or not name.startswith("bench/")}
        different = list(differences(state_of(lap.folder), due))
        more = {"lap": number, "seconds": round(time.monotonic() - begun, 1), "parent_mib": memory_mib()}
        told.append({"kind": "lap", "ok": not different, "different": different[:20], "hit": True})
        with lines.open("a") as file:
            file.writelines(json.dumps(one | more) + "\n" for one in told)
        before += [one | more for one in told]
        if different and lap.folder.is_mount():
            shutil.copytree(lap.folder, lap.folder.with_suffix(".kept"))
        unmount(lap.folder)
        if not different:
            shutil.rmtree(lap.folder)
        number += 1
    return sum(not one["ok"] for one in before)


def _undisturbed(work: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds by command, and the files of an undisturbed lap."""
    lap = Lap(work / "undisturbed", work / "inputs", work / "cache", dict(TIMES))
    lap.folder.mkdir()
    for name in chain(lap.inputs, lap.folder):
        begun = time.monotonic()
        ended = lap.end(name, lap.go(name))
        if ended.status:
            raise SystemExit(f"{name}: {ended.said[-2000:]}")
        lap.seconds[name] = time.monotonic() - begun
    return lap.seconds, state_of(lap.folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], help="These commands of a lap alone; empty: all.")
    parser.add_argument("--kinds", nargs="+", default=[], choices=KINDS, help="These disturbances alone; empty: all.")
    options = parser.parse_args(arguments)
    ONLY[:] = options.only
    return 1 if torture(options.out, options.kills, options.seed, options.kinds) else 0


if __name__ == "__main__":
    raise SystemExit(main())
