#!/usr/bin/env bash
# Starting and stopping a Ray cluster within a program that answers SIGTERM itself.
#
# Expected: ray.init() leaves the program's own handler of SIGTERM in place, or calls it behind its own; after
#           ray.shutdown() it is there again.
# Seen:     ray 2.60.0 puts a handler of its own in its place, which ends the program without asking the one before, and
#           ray.shutdown() leaves it there: SIGTERM then ends a program that has nothing to do with Ray any more, without
#           what its own handler would have saved. SIGINT's handler stays.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ray==2.60.0
HOME="$work" RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 "$work/venv/bin/python" - <<'PY'
import os
import signal

import ray


def saves(number, frame):
    """Keeps what was done."""


for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, saves)
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
during = signal.getsignal(signal.SIGTERM)
ray.shutdown()
after = signal.getsignal(signal.SIGTERM)
print("SIGTERM while Ray runs:", during)
print("SIGTERM after ray.shutdown():", after)
assert during is not saves
assert after is during
assert signal.getsignal(signal.SIGINT) is saves

child = os.fork()
if child == 0:
    signal.raise_signal(signal.SIGTERM)
    os._exit(0)  # where the handler of before would have come back to
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print("a process that gets SIGTERM then ends with", status, "(negative: by that signal)")
assert status == -signal.SIGTERM
PY
