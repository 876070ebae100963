#!/usr/bin/env bash
# A process that holds 800 MiB starts a small one: what is the small one's peak memory (`ru_maxrss`)?
#
# Expected: its own, some 13 MiB: `resource.getrusage(RUSAGE_SELF)` of a process that executes another program is to tell
#           of that program. Benchmarks start a child process for each measurement for just this reason.
# Seen:     on Linux (6.18) the child says 813 MiB. Its count begins with the peak of the process that it was until exec,
#           which shares or copies the parent's memory. It is so with subprocess and with multiprocessing's spawn, with
#           getrusage in the child and with wait4 in the parent, and still after the parent has freed the memory.
#           A forkserver that was started before, and VmHWM in /proc/self/status, tell the child's own; psutil's current
#           `rss` too.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check psutil==7.2.2
cd "$work"
cat >child.py <<'PY'
import resource
from pathlib import Path

import psutil


def peaks():
    """MiB: by getrusage, by VmHWM, and what is held now by psutil."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return used, int(status["VmHWM"].split()[0]) >> 10, psutil.Process().memory_info().rss >> 20


def send(connection):
    """The same from a process of multiprocessing."""
    connection.send(peaks())


if __name__ == "__main__":
    print(*peaks())
PY
cat >measure.py <<'PY'
import multiprocessing
import os
import subprocess
import sys

from child import send


def by_subprocess():
    """What the child says, and what the system tells its parent."""
    child = subprocess.Popen([sys.executable, "child.py"], stdout=subprocess.PIPE, text=True)
    told = tuple(map(int, child.stdout.read().split()))
    return told, os.wait4(child.pid, 0)[2].ru_maxrss >> 10


def by_multiprocessing(method):
    """What a process says that was started in this way."""
    context = multiprocessing.get_context(method)
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=send, args=(sending,))
    child.start()
    told = receiving.recv()
    child.join()
    return told


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload([])
    by_multiprocessing("forkserver")  # It is small, and stays so.
    before, before_by_parent = by_subprocess()
    large = bytearray(800 << 20)
    told, by_parent = by_subprocess()
    spawned, forkserver = by_multiprocessing("spawn"), by_multiprocessing("forkserver")
    del large
    freed, _ = by_subprocess()
    print("MiB: getrusage, VmHWM, psutil's rss")
    print(f"child of a small process {before}, wait4 in the parent {before_by_parent}")
    print(f"child of a large process {told}, wait4 in the parent {by_parent}")
    print(f"spawned by multiprocessing {spawned}, by a forkserver started before {forkserver}")
    print(f"after the parent has freed it {freed}")
    own = max(before[0], before_by_parent, *told[1:], *spawned[1:], *forkserver, *freed[1:])
    raise SystemExit(not (own < 100 < 800 <= min(told[0], by_parent, spawned[0], freed[0])))
PY
"$work/venv/bin/python" measure.py
