#!/usr/bin/env bash
# What a user gets from this commit: sdist and wheel are built, installed each in a fresh environment, and tried.
#
#     make release-check
#
# The sdist is made from the checkout and the wheel from the sdist, so that a file that the sdist lacks is missed here.
# Nothing is uploaded. Takes some minutes and 4 GB of disk under TMPDIR.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
bin=$(realpath "${BIN:-.venv/bin}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }

say "sdist and wheel"
rm -rf dist build
mkdir -p dist
"$bin/python" -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' > "$work/build.log"
sdist=$(ls dist/*.tar.gz)
tar -xzf "$sdist" -C "$work"
source=$work/$(basename "$sdist" .tar.gz)
"$bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist "$source"
ls -l dist

say "the tests that the sdist holds"
(cd "$source" && PYTHONPATH=src "$bin/python" -m pytest -n 0 --collect-only -q -p no:cacheprovider --disable-warnings | tail -1)

for artifact in dist/*.whl "$sdist"; do
  say "$artifact, in a fresh environment"
  "$bin/python" -m venv "$work/venv"
  fresh=$work/venv/bin
  "$fresh/python" -m pip install --quiet --no-compile --no-deps -r requirements-torch.lock
  "$fresh/python" -m pip install --quiet --no-compile --no-deps --require-hashes -r requirements.lock
  "$fresh/python" -m pip install --quiet --no-compile --no-deps --no-build-isolation "$artifact"
  "$fresh/python" -m pip check
  (
    cd "$work"
    "$fresh/python" -c 'import recdistill, sys; sys.exit(sys.prefix not in recdistill.__file__)'
    "$fresh/recdistill" --version
    "$fresh/recdistill" --help > help.txt
    "$fresh/recdistill" configs --out configs
    "$fresh/recdistill" run --quiet --run run --threads 1 \
      --data.source planted --data.planted.users 60 --data.planted.items 80 --data.planted.topics 8 \
      --student.max_length 8 --student.train.max_epochs 2 --teacher.kind none
    "$fresh/recdistill" compare run --json > compare.json
    test -s run/report/report.html
    rm -rf configs run venv
  )
done

say "bill of materials"
"$bin/python" tools/supply_chain.py sbom dist/recdistill.cdx.json

say "good: $(ls dist | tr '\n' ' ')"
