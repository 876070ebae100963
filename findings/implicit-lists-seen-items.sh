#!/usr/bin/env bash
# Items that a user has, in implicit's recommendations.
#
# Expected: recommend(..., filter_already_liked_items=True), the default, lists no item that the user has; where fewer
#           than N are left, fewer come back.
# Seen:     implicit 0.7.3 fills the list up with items that the user has. With ALS their score is the smallest float
#           (-3.4e38), and can be told; with the nearest neighbours it is 0.0, as an honest score may be, and cannot.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import warnings

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

warnings.filterwarnings("ignore")
train = sp.csr_matrix(np.array([[1, 1, 1, 1, 0], [0, 1, 1, 0, 1], [1, 0, 0, 1, 1]], dtype=float))
seen = {0, 1, 2, 3}
for model in (CosineRecommender(K=10), AlternatingLeastSquares(factors=3, random_state=0, iterations=5)):
    model.fit(train, show_progress=False)
    items, scores = model.recommend(0, train[0], N=3)
    print(type(model).__name__, items.tolist(), scores.tolist())
    assert items[0] == 4 and set(items[1:].tolist()) <= seen
    if isinstance(model, CosineRecommender):
        assert scores[1:].tolist() == [0.0, 0.0]
    else:
        assert (scores[1:] == np.finfo(np.float32).min).all()
PY
