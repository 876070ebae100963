"""RecBole's SASRec with its own defaults (d 64, 2 blocks, inner size 256, length 50, dropout .5, softmax, batch 2048).

RecBole makes a sample of every prefix of every history, each padded to the full length.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender.sasrec import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed
from torch import Tensor

from other_libraries.arguments import EPOCHS, parse, settings_of
from other_libraries.curve import BestWeights, Curve, quality, write_result
from other_libraries.events import refuse_what_recbole_cannot_split
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.evaluation.scorer import latest_items

SETTINGS: dict[str, Any] = {
    "hidden_size": 64,
    "n_layers": 2,
    "n_heads": 2,
    "inner_size": 256,
    "MAX_ITEM_LIST_LENGTH": 50,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "learning_rate": 1e-3,
    "train_batch_size": 2048,
}
FIXED: dict[str, Any] = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "TIME_FIELD": "timestamp",
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "use_gpu": False,
    "show_progress": False,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
}


def write_atomic_file(data: PreparedData, folder: Path) -> None:
    """All events as RecBole's `.inter` file; an event's time is its position, so that ties keep the file's order."""
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(data.num_users):
        items = data.items[data.offsets[user] : data.offsets[user + 1]]
        lines += [f"{user}\t{item}\t{position}" for position, item in enumerate(items)]
    (folder / "prepared").mkdir()
    (folder / "prepared" / "prepared.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")


class RecBoleScorer:
    """A RecBole model as our scorer."""

    def __init__(self, model: SASRec, tokens: list[str], data: PreparedData) -> None:
        self.model, self.data = model, data
        self.known = torch.tensor([int(token) for token in tokens[1:]])  # tokens[0] is the padding's
        self.table = torch.zeros(data.num_items + 1, dtype=torch.int64)
        self.table[self.known] = torch.arange(1, len(tokens))

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1) after the latest items."""
        length = SETTINGS["MAX_ITEM_LIST_LENGTH"]
        items = self.table[torch.from_numpy(latest_items(self.data, users, positions, length))]
        items = torch.nn.functional.pad(items, (0, length - items.shape[1]))
        self.model.eval()
        states = self.model(items, (items > 0).sum(dim=1))
        scores = torch.full((len(users), self.data.num_items + 1), -torch.inf)
        scores[:, self.known] = (states @ self.model.item_embedding.weight.T)[:, 1:]
        return scores


def main() -> None:
    """Train, rank test once, write the line."""
    arguments = parse(str(__doc__), EPOCHS["recbole"])
    own = SETTINGS | settings_of(arguments.variant)[1]
    del sys.argv[1:]  # RecBole reads them too.
    data = PreparedData.load(arguments.data)
    refuse_what_recbole_cannot_split(data)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # RecBole logs where it stands.
        write_atomic_file(data, Path(folder))
        where = {"data_path": folder, "checkpoint_dir": folder, "seed": arguments.seed}
        config = Config(model="SASRec", dataset="prepared", config_dict=own | FIXED | where)
        init_seed(arguments.seed, True)
        dataset = create_dataset(config)
        samples, _, _ = data_preparation(config, dataset)
        model = SASRec(config, samples.dataset)
        trainer = Trainer(config, model)
    scorer = RecBoleScorer(model, list(dataset.id2token("item_id", np.arange(dataset.item_num))), data)
    curve, best = Curve(data), BestWeights(model, arguments.patience, arguments.until)
    curve.start()
    for epoch in range(1, arguments.epochs + 1):
        trainer._train_epoch(samples, epoch)
        if best.see(curve.read(epoch, scorer)["ndcg@10"]):
            break
    best.put_back()
    limits = {"max_epochs": arguments.epochs, "patience": arguments.patience, "until": arguments.until}
    settings = own | {"seed": arguments.seed} | limits
    versions = ("recbole", "pandas", "scipy")
    write_result(arguments.out, arguments.variant, curve, quality(data, "test", scorer), settings, versions)


if __name__ == "__main__":
    main()
