#!/usr/bin/env bash
# A task of Ray whose worker is killed, in a program whose output is data.
#
# Expected: with log_to_driver=False and logging_level=CRITICAL the driver writes nothing; the loss is the exception that
#           ray.get() raises, as documented. Where something is written, it is to stderr.
# Seen:     ray 2.60.0 writes "(raylet) A worker died or was killed while executing a task ..." to the driver's stdout,
#           between the program's own lines. Only RAY_DEDUP_LOGS_SKIP_REGEX, which is meant for lines of workers, stops it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ray==2.60.0
cat > "$work/program.py" <<'PY'
import logging
import os
import signal
import time

import ray


@ray.remote(max_retries=0)
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
try:
    ray.get(killed.remote())
except ray.exceptions.WorkerCrashedError:
    print("known: the worker was lost")
time.sleep(3)
ray.shutdown()
PY
export HOME="$work" RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
"$work/venv/bin/python" "$work/program.py" > "$work/out" 2> "$work/err"
echo "stdout:" && cut -c1-110 "$work/out"
RAY_DEDUP_LOGS_SKIP_REGEX=. "$work/venv/bin/python" "$work/program.py" > "$work/silent" 2> /dev/null
echo "stdout with RAY_DEDUP_LOGS_SKIP_REGEX:" && cat "$work/silent"
grep -q "A worker died or was killed" "$work/out"
[ "$(cat "$work/silent")" = "known: the worker was lost" ]
