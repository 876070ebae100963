#!/usr/bin/env bash
# What importing onnxruntime on Linux leaves in the home folder.
#
# Expected: nothing. The wheel's documentation speaks of telemetry on Windows.
# Seen:     with onnxruntime 1.32.0 an import alone, before any model is loaded, writes a device id and an SQLite database
#           to ~/.cache/Microsoft/DeveloperTools/.onnxruntime and starts a second thread. ORT_DISABLE_TELEMETRY=1, set
#           before the import, leaves neither.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 onnxruntime==1.32.0
cat > "$work/look.py" <<'PY'
import os
from pathlib import Path

import onnxruntime

threads = len(os.listdir("/proc/self/task"))
files = sorted(str(path.relative_to(Path.home())) for path in Path.home().rglob("*") if path.is_file())
print(threads, "threads;", ", ".join(files) or "no file")
PY
look() { (mkdir -p "$work/$1" && cd "$work" && env HOME="$work/$1" OPENBLAS_NUM_THREADS=1 "${@:2}" "$work/venv/bin/python" look.py); }
by_default=$(look home)
disabled=$(look quiet ORT_DISABLE_TELEMETRY=1)
echo "by default: $by_default"
echo "disabled:   $disabled"
[[ $by_default == "2 threads; "*".onnxruntime/deviceid, "*"onnxruntime.db"* ]]
[[ $disabled == "1 threads; no file" ]]
