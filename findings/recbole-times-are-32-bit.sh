#!/usr/bin/env bash
# Which interaction of each user is RecBole's test target with leave-one-out (`LS: valid_and_test`, `order: TO`)?
#
# Expected: the user's latest by `timestamp:float`, whatever the order of the file's rows.
# Seen:     recbole 1.2.1 keeps float fields as 32-bit numbers and sorts those. Seconds since 1970 are rounded to a
#           multiple of 64 (128 since 2004), and what was seen within that time stands in no certain order. Of 200 users
#           with twelve interactions each, 5 to 30 seconds apart, 140 are tested on another one if the newest come first
#           in the file, 88 if rows are shuffled, none if the file is in order. Of RecBole's own example, MovieLens-100K,
#           4 of 943 users are. With another origin (seconds since the file's first interaction) all targets are right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# RecBole also asks for ray, plotly and others, which nothing here imports; hence its requirements are named one by one.
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  colorama==0.4.6 colorlog==6.12.0 numpy==1.26.4 pandas==2.3.3 plotly==7.1.0 psutil==7.2.2 pyyaml==6.0.3 scikit-learn==1.9.1 \
  scipy==1.17.1 tabulate==0.10.0 tensorboard==2.21.0 texttable==1.7.2 thop==0.1.1.post2209072238 torch==2.13.0 \
  tqdm==4.70.1
cd "$work"
cat >measure.py <<'PY'
import random
from collections import defaultdict
from pathlib import Path

import recbole
from recbole.config import Config
from recbole.data import create_dataset, data_preparation

LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"}


def wrong_targets(folder, name):
    """Users that RecBole tests, and how many of them not on one of their latest interactions."""
    rows = [line.split("\t") for line in (folder / name / f"{name}.inter").read_text().splitlines()]
    columns = [column.partition(":")[0] for column in rows[0]]
    user, item, time = (columns.index(column) for column in ("user_id", "item_id", "timestamp"))
    times = defaultdict(dict)
    for row in rows[1:]:
        times[row[user]][row[item]] = float(row[time])
    settings = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": LEAVE_ONE_OUT,
        "train_neg_sample_args": None,
        "use_gpu": False,
        "state": "ERROR",
    }
    config = Config(model="SASRec", dataset=name, config_dict=settings)
    dataset = create_dataset(config)
    tested = data_preparation(config, dataset)[2].dataset.inter_feat
    wrong = 0
    for user_id, item_id in zip(tested["user_id"].tolist(), tested["item_id"].tolist()):
        seen = times[dataset.id2token("user_id", user_id)]
        wrong += seen[dataset.id2token("item_id", item_id)] < max(seen.values())
    return len(tested), wrong


def written(name, rows):
    """The rows as an atomic file."""
    folder = Path("data", name)
    folder.mkdir(parents=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (folder / f"{name}.inter").write_text("\n".join(lines) + "\n")
    return Path("data"), name


draws = random.Random(1)
rows = []
for user in range(200):
    time = 881_250_949 + draws.randrange(10_000_000)
    for item in draws.sample(range(50), 12):
        time += draws.randrange(5, 30)
        rows.append((f"u{user}", f"i{item}", time))
first = min(time for *_, time in rows)
seen = {
    "in order": wrong_targets(*written("in-order", rows)),
    "newest first": wrong_targets(*written("newest-first", rows[::-1])),
    "newest first, another origin": wrong_targets(*written("origin", [(u, i, t - first) for u, i, t in rows[::-1]])),
    "shuffled": wrong_targets(*written("shuffled", draws.sample(rows, len(rows)))),
    "MovieLens-100K": wrong_targets(Path(recbole.__file__).parent / "dataset_example", "ml-100k"),
}
for name, (users, wrong) in seen.items():
    print(f"{name}: {wrong} of {users} users are not tested on their latest interaction")
wrong = {name: count for name, (_, count) in seen.items()}
unchanged = (
    wrong["in order"] == wrong["newest first, another origin"] == 0
    and wrong["newest first"] > 100
    and wrong["shuffled"] > 50
    and wrong["MovieLens-100K"] > 0
)
raise SystemExit(not unchanged)
PY
"$work/venv/bin/python" -W ignore measure.py 2>/dev/null
