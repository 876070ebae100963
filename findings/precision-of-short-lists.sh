#!/usr/bin/env bash
# Precision@2 of the same lists, by four libraries.
#
# Two users with one relevant item each. Ann gets two items, the first of them right; Ben gets one item, which is right
# (nothing else is left to recommend him). Textbooks divide by k: (1/2 + 1/2) / 2 = .5.
#
# Expected: .5 everywhere.
# Seen:     ir-measures 0.4.3 (pytrec_eval) .5. lenskit 2025.8.1 .75 and irspack 0.5.2 .75: they divide by the length of
#           the list, so that a model gains by listing less. implicit 0.7.3 1.0: it divides by the smaller of k and the
#           number of relevant items, which is recall here. Where every list is full and every user has k relevant
#           items, all four agree, so that a check on dense data shows nothing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check implicit==0.7.3 ir-measures==0.4.3 irspack==0.5.2 lenskit==2025.8.1 numpy==2.4.6 pytrec-eval-terrier==0.5.11 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import warnings

import ir_measures
import numpy as np
import scipy.sparse as sp
from implicit.evaluation import ranking_metrics_at_k
from implicit.nearest_neighbours import CosineRecommender
from ir_measures import P, Qrel, ScoredDoc
from irspack import Evaluator, TopPopRecommender
from lenskit.data import ItemList, ItemListCollection
from lenskit.metrics import Precision, RunAnalysis

warnings.filterwarnings("ignore")
# Items 0..4. Ben has seen all but item 4; Ann all but 0 and 3.
train = sp.csr_matrix(np.array([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]], dtype=float))
test = sp.csr_matrix(np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float))
lists = {"ann": [0, 3], "ben": [4]}
relevant = {"ann": [0], "ben": [4]}

judged = [Qrel(user, str(item), 1) for user, items in relevant.items() for item in items]
listed = [ScoredDoc(user, str(item), -place) for user, items in lists.items() for place, item in enumerate(items)]
found = {"ir-measures": ir_measures.calc_aggregate([P @ 2], judged, listed)[P @ 2]}

runs, truths = (
    ItemListCollection.from_dict({u: ItemList(i, ordered=True) for u, i in one.items()}, key="user_id")
    for one in (lists, relevant)
)
analysis = RunAnalysis()
analysis.add_metric(Precision(2))
found["lenskit"] = analysis.measure(runs, truths).list_metrics()["Precision@2"].mean()
found["irspack"] = Evaluator(test, offset=0, cutoff=2).get_score(TopPopRecommender(train).learn())["precision"]
model = CosineRecommender(K=10)
model.fit(train, show_progress=False)
found["implicit"] = ranking_metrics_at_k(model, train, test, K=2, show_progress=False)["precision"]
for name, value in found.items():
    print(f"{name:12} {value:.3f}")
assert {name: round(float(value), 3) for name, value in found.items()} == {
    "ir-measures": 0.5,
    "lenskit": 0.75,
    "irspack": 0.75,
    "implicit": 1.0,
}
PY
