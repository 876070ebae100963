#!/usr/bin/env bash
# A hundred items with one and the same score, of which one is relevant: what are NDCG@10 and the reciprocal rank?
#
# Expected: one rule a library: either the mean over all orders (.0454 and .0519, wherever the item stands), or a stated
#           order, such as that of the list.
# Seen:     pytrec-eval-terrier 0.5.11 and ir-measures 0.4.3 rank the last name in the alphabet first: 1 for item d099, 0
#           for d000 and d050. ranx 0.3.21 has some order of its sort: NDCG 0, reciprocal ranks of .0137, .0417 and .0115
#           for the first, middle and last. torchmetrics 1.9.0 takes the mean for NDCG (as scikit-learn 1.9.1 does) and some
#           order for the reciprocal rank: .0357, .0114 and .0133.
#           It is not rare where scores are BF16: of 16,859 items with vectors of 64 normal numbers, a quarter of the ten best share
#           their score with another item (FP16: 4 %, FP32: none).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ir-measures==0.4.3 numpy==2.3.5 \
  pytrec-eval-terrier==0.5.11 ranx==0.3.21 scikit-learn==1.9.1 torch==2.13.0 torchmetrics==1.9.0
cd "$work"
cat >look.py <<'PY'
import ir_measures
import numpy as np
import pytrec_eval
import ranx
import torch
from ir_measures import RR, nDCG
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import retrieval_normalized_dcg, retrieval_reciprocal_rank

ITEMS = 100
NAMES = [f"d{item:03}" for item in range(ITEMS)]


def judged(place):
    """NDCG@10 and reciprocal rank by each library, where the relevant item stands at `place`."""
    scores, relevant = np.ones(ITEMS), np.arange(ITEMS) == place
    truth, run = {"user": {NAMES[place]: 1}}, {"user": dict(zip(NAMES, scores.tolist()))}
    trec = pytrec_eval.RelevanceEvaluator(truth, {"ndcg_cut.10", "recip_rank"}).evaluate(run)["user"]
    ir = ir_measures.calc_aggregate([nDCG @ 10, RR], truth, run)
    of_ranx = ranx.evaluate(ranx.Qrels(truth), ranx.Run(run), ["ndcg@10", "mrr"])
    tensors = torch.tensor(scores), torch.tensor(relevant)
    return {
        "scikit-learn": (ndcg_score(relevant[None], scores[None], k=10), None),
        "pytrec_eval": (trec["ndcg_cut_10"], trec["recip_rank"]),
        "ir_measures": (ir[nDCG @ 10], ir[RR]),
        "ranx": (of_ranx["ndcg@10"], of_ranx["mrr"]),
        "torchmetrics": (retrieval_normalized_dcg(*tensors, top_k=10), retrieval_reciprocal_rank(*tensors)),
    }


def shared(kind):
    """Share of the ten best items, by exact scores, whose score another item has too when it is rounded."""
    torch.manual_seed(0)
    exact = torch.randn(300, 64) @ torch.randn(16_859, 64).T
    best, rounded = exact.topk(10).indices, exact.to(kind).float()
    equal = [(rounded == rounded.gather(1, best[:, [rank]])).sum(dim=1) > 1 for rank in range(10)]
    return torch.stack(equal).float().mean().item()


found = [judged(place) for place in (0, 50, 99)]
rounded = {
    name: [tuple(None if one is None else round(float(one), 4) for one in by[name]) for by in found] for name in found[0]
}
for name, values in rounded.items():
    print(f"{name}: NDCG@10 {[one for one, _ in values]}, reciprocal rank {[one for _, one in values]}")
shares = {kind: shared(kind) for kind in (torch.float32, torch.float16, torch.bfloat16)}
print(*(f"{kind}: {share:.0%} of the ten best share their score" for kind, share in shares.items()), sep="\n")
ndcg = {name: [one for one, _ in values] for name, values in rounded.items()}
ranks = {name: [one for _, one in values] for name, values in rounded.items()}
unchanged = (
    ndcg["scikit-learn"] == ndcg["torchmetrics"] == [0.0454] * 3
    and ndcg["pytrec_eval"] == ndcg["ir_measures"] == [0, 0, 1]
    and ndcg["ranx"] != ndcg["pytrec_eval"]
    and all(len(set(ranks[name])) == 3 and max(ranks[name]) < 0.5 for name in ("ranx", "torchmetrics"))
    and shares[torch.bfloat16] > 0.2 > 0.01 > shares[torch.float32]
)
raise SystemExit(not unchanged)
PY
"$work/venv/bin/python" -W ignore look.py
