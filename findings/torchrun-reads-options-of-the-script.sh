#!/usr/bin/env bash
# Options behind the name of the script that torchrun starts.
#
# Expected: what stands behind the script's name is the script's, whatever it is called; torchrun's help says so
#           (`training_script ...`).
# Seen:     torchrun of torch 2.13.0 under Python 3.11 refuses `--run` there: it is how several of torchrun's own options
#           begin (`--run-path`, `--run_path`), and the parser finds abbreviations in all words before it deals them
#           out. An option that begins like one of torchrun's alone is left to the script. With `--` before the script's
#           name all are.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -c 'import sys; assert sys.version_info[:2] == (3, 11), "seen with Python 3.11"'
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/script.py" <<'PY'
import sys

print("the script has", sys.argv[1:])
PY
run=("$work/venv/bin/python" -m torch.distributed.run --nproc-per-node 1)
cd "$work"

if said=$("${run[@]}" script.py --run mine 2>&1); then
    echo "torchrun leaves --run to the script: $said"
    exit 1
fi
grep "ambiguous option: --run could match --run-path" <<< "$said"
"${run[@]}" script.py --standalo mine 2> errors | tee out
grep -q "the script has \['--standalo', 'mine'\]" out
"${run[@]}" -- script.py --run mine 2> errors | tee out
grep -q "the script has \['--run', 'mine'\]" out
