#!/usr/bin/env bash
# Ranking a target: how many of a row's scores are at least its own.
#
# Expected: (scores >= own).sum(dim=1) is one pass over truth values of a byte each, so no slower than the same sum over
#           numbers of four bytes.
# Seen:     on a CPU, torch 2.13.0 sums truth values of 256 rows of 16,860 several times as slowly as the ones and zeros that
#           the comparison writes into an fp32 tensor kept for it, a few rows at a time (8 to 12 times on our machine;
#           counting them by count_nonzero, or a few rows at a time, is still slower). All counts agree.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import statistics
import time

import torch

torch.set_num_threads(1)
scores = torch.randn(256, 16_860, generator=torch.Generator().manual_seed(0))
own = scores[:, :1].clone()
held = torch.empty(31, scores.shape[1])


def truth_values():
    return (scores >= own).sum(dim=1)


def truth_values_in_parts():
    return torch.cat([(part >= least).sum(dim=1) for part, least in zip(scores.split(31), own.split(31))])


def numbers_in_parts():
    pairs = zip(scores.split(31), own.split(31))
    return torch.cat([torch.ge(part, least, out=held[: len(part)]).sum(dim=1) for part, least in pairs]).long()


ways = (truth_values, truth_values_in_parts, numbers_in_parts)
assert all(torch.equal(way(), truth_values()) for way in ways)
spent = {way.__name__: [] for way in ways}
for _ in range(15):
    for way in ways:
        began = time.process_time()
        way()
        spent[way.__name__].append(time.process_time() - began)
medians = {name: statistics.median(times) for name, times in spent.items()}
print(", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in medians.items()))
assert medians["truth_values"] > 3 * medians["numbers_in_parts"]
PY
