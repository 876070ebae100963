"""RecTools' SASRec (d 64, 2 blocks, length 100, by default softmax over the catalog) on our histories, in our order."""

from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from torch import Tensor

from other_libraries.arguments import EPOCHS, parse, settings_of
from other_libraries.curve import BestWeights, Curve, quality, write_result
from other_libraries.events import train_events
from recdistill.data.prepared import IntArray, PreparedData

SETTINGS: dict[str, Any] = {
    "n_factors": 64,
    "n_blocks": 2,
    "n_heads": 4,
    "session_max_len": 100,
    "loss": "softmax",
    "batch_size": 128,
    "lr": 1e-3,
    "dropout_rate": 0.2,
}


def train_dataset(data: PreparedData) -> Dataset:
    """All events that are trained on; an event's time is its position, so that ties stay in the order of the file."""
    users, positions = train_events(data)
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: users,
                Columns.Item: data.items[data.offsets[users] + positions],
                Columns.Weight: 1,
                Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(positions, unit="s"),
            }
        )
    )


class RecToolsScorer:
    """A RecTools model as our scorer. It drops items that it has not trained on from histories, and ranks them last."""

    def __init__(self, model: SASRecModel, data: PreparedData) -> None:
        self.model, self.data = model, data
        preparator = model.data_preparator
        self.known = torch.from_numpy(np.asarray(preparator.get_known_item_ids(), dtype=np.int64))
        self.internal = torch.from_numpy(np.asarray(preparator.get_known_items_sorted_internal_ids(), dtype=np.int64))
        self.table = np.zeros(data.num_items + 1, dtype=np.int64)
        self.table[self.known.numpy()] = self.internal.numpy()

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1) after the latest known items."""
        length = self.model.session_max_len
        sessions = np.zeros((len(users), length), dtype=np.int64)  # RecTools pads on the left.
        for row, (user, position) in enumerate(zip(users, positions, strict=True)):
            items = self.table[self.data.history(int(user), int(position))]
            items = items[items > 0][-length:]
            sessions[row, length - len(items) :] = items
        network = self.model.torch_model.eval()
        vectors = network.item_model.get_all_embeddings()
        states = network.encode_sessions({"x": torch.from_numpy(sessions)}, vectors)[:, -1]
        scores = torch.full((len(users), self.data.num_items + 1), -torch.inf)
        scores[:, self.known] = (states @ vectors.T)[:, self.internal]
        return scores


class Watch(lightning.Callback):  # type: ignore[misc]
    """Reads the curve after each epoch, and stops training where it gets no better."""

    def __init__(self, data: PreparedData, curve: Curve, patience: int, until: float) -> None:
        self.data, self.curve, self.patience, self.until = data, curve, patience, until
        self.model: SASRecModel | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Watch":
        """RecTools copies its trainer before each fit; what this one has seen must stay in one place."""
        return self

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock, after the data are made and the weights drawn."""
        network: Any = pl_module  # RecTools' lightning module, whose `torch_model` lightning does not know
        self.best = BestWeights(network.torch_model, self.patience, self.until)
        self.curve.start()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Rank validation."""
        with torch.no_grad():
            metrics = self.curve.read(trainer.current_epoch + 1, RecToolsScorer(self.model, self.data))
        trainer.should_stop = self.best.see(metrics["ndcg@10"])
        pl_module.train()


def main() -> None:
    """Train, rank test once, write the line."""
    arguments = parse(str(__doc__), EPOCHS["rectools"])
    data = PreparedData.load(arguments.data)
    lightning.seed_everything(arguments.seed)
    curve = Curve(data)
    watch = Watch(data, curve, arguments.patience, arguments.until)
    own = SETTINGS | settings_of(arguments.variant)[1]

    def trainer() -> lightning.Trainer:
        return lightning.Trainer(
            max_epochs=arguments.epochs,
            deterministic=True,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[watch],
        )

    watch.model = model = SASRecModel(**own, get_trainer_func=trainer)
    model.fit(train_dataset(data))
    watch.best.put_back()
    with torch.no_grad():
        test = quality(data, "test", RecToolsScorer(model, data))
    limits = {"max_epochs": arguments.epochs, "patience": arguments.patience, "until": arguments.until}
    settings = own | {"seed": arguments.seed} | limits
    write_result(arguments.out, arguments.variant, curve, test, settings, ("rectools", "pytorch-lightning"))


if __name__ == "__main__":
    main()
