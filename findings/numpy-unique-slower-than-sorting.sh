#!/usr/bin/env bash
# Distinct whole numbers by np.unique, beside sorting them.
#
# Expected: np.unique of half a million int64 takes little more than np.sort of them; it says that it returns them sorted.
# Seen:     numpy 2.4.6 puts them into a hash table first and takes several times as long as a sort with a comparison of
#           neighbours (30 to 70 times on our machine); asked for the first places too (return_index), which is more
#           work, it is quicker than without.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import time

import numpy as np


def seconds(do):
    found = []
    for _ in range(3):
        began = time.process_time()
        do()
        found.append(time.process_time() - began)
    return min(found)


def by_sorting(numbers):
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])]


numbers = np.random.default_rng(0).integers(0, 2**31, 2**19)
assert (np.unique(numbers) == by_sorting(numbers)).all()
plain = seconds(lambda: np.unique(numbers))
more = seconds(lambda: np.unique(numbers, return_index=True))
own = seconds(lambda: by_sorting(numbers))
print(f"np.unique {plain:.3f} s, with return_index {more:.3f} s, by sorting {own:.3f} s")
assert plain > 3 * own and plain > more
PY
