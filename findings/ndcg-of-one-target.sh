#!/usr/bin/env bash
# NDCG@10 of perfect lists, one relevant item for each user (leave-one-out), by three libraries.
#
# Each user's one relevant item stands first in a list of ten. The ideal list is that list, so NDCG is 1.
#
# Expected: 1 everywhere.
# Seen:     ir-measures 0.4.3 (pytrec_eval) and pm-implicit 0.7.3 give 1. RecTools 0.19.0 gives .220: unless it is told
#           divide_by_achievable=True, its ideal list has k relevant items for everybody, whatever the user has. With
#           leave-one-out all its values at 10 are .220 of the others', so that a paper's table cannot be compared with
#           them; with k relevant items each, all agree. Its MAP is divided by what a user has.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ir-measures==0.4.3 pandas==2.3.3 pm-implicit==0.7.3 pytrec-eval-terrier==0.5.11 rectools==0.19.0 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import warnings

import ir_measures
import numpy as np
import pandas as pd
import scipy.sparse as sp
from implicit.evaluation import ranking_metrics_at_k
from implicit.nearest_neighbours import CosineRecommender
from ir_measures import Qrel, ScoredDoc, nDCG
from rectools import Columns
from rectools.metrics import MAP, NDCG

warnings.filterwarnings("ignore")
K, ITEMS = 10, 14


def found(relevant: int) -> dict[str, float]:
    """Of two users who get the same list; their first so many items are relevant."""
    # Both have had the items 0 and 1, and so have others, with item 2 most often, then 3, and so on.
    others = np.tril(np.ones((ITEMS, ITEMS)))[2:]
    others[:, :2] = 1
    own = np.zeros((2, ITEMS))
    own[:, :2] = 1
    train = sp.csr_matrix(np.vstack([own, others]))
    test = np.zeros((len(others) + 2, ITEMS))
    test[:2, 2 : 2 + relevant] = 1
    test = sp.csr_matrix(test)
    values = {}

    listed = [(user, 2 + place, place + 1) for user in (0, 1) for place in range(K)]
    judged = [Qrel(str(user), str(item), 1) for user, item in zip(*test.nonzero())]
    run = [ScoredDoc(str(user), str(item), -place) for user, item, place in listed]
    values["ir-measures"] = ir_measures.calc_aggregate([nDCG @ K], judged, run)[nDCG @ K]

    model = CosineRecommender(K=ITEMS)
    model.fit(train, show_progress=False)
    lists, _ = model.recommend(np.array([0, 1]), train[:2], N=K)
    assert lists[0].tolist() == list(range(2, 2 + K)), lists
    values["implicit"] = ranking_metrics_at_k(model, train, test, K=K, show_progress=False)["ndcg"]

    table = pd.DataFrame(listed, columns=[Columns.User, Columns.Item, Columns.Rank])
    truth = pd.DataFrame(np.argwhere(test.toarray()), columns=[Columns.User, Columns.Item])
    values["rectools"] = NDCG(K).calc(table, truth)
    values["rectools, achievable"] = NDCG(K, divide_by_achievable=True).calc(table, truth)
    values["rectools, MAP"] = MAP(K).calc(table, truth)
    return {name: round(float(value), 3) for name, value in values.items()}


one, many = found(1), found(K)
for name in one:
    print(f"{name:22} one relevant item {one[name]:.3f}, ten {many[name]:.3f}")
assert one == {name: 0.22 if name == "rectools" else 1.0 for name in one}
assert set(many.values()) == {1.0}
PY
