"""Short trainings, by one process or by several together; what each step's loss was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.distributed_c10d import _get_default_group

from recdistill.config import EvaluateConfig, LossConfig, StudentConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.ranking import rank
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.parallel.joined import Joined
from recdistill.parallel.joining import join
from recdistill.parallel.processes import Processes
from recdistill.storage.files import write_json
from recdistill.training.callbacks import Callback
from recdistill.training.fit import fit
from recdistill.training.student import student_sequence_scorer, student_training

ITEMS, USERS = 30, 23
LOSSES: dict[str, dict[str, Any]] = {
    "cross_entropy": {},
    "shared": {"name": "sampled_softmax", "shared": True, "negatives": 8, "popularity_power": 0.5},
    "in_batch": {"name": "sampled_softmax", "shared": True, "negatives": 8, "in_batch": True, "log_q": True},
    "lazy": {"name": "sampled_softmax", "shared": True, "negatives": 4, "lazy_adam": True},
    "own": {"name": "sampled_softmax", "shared": False, "negatives": 5, "log_q": True},
    "gbce": {"name": "gbce", "negatives": 6},
}
BATCH = 5
"""Of 23 windows the last micro-batch has 3 rows: with 2 processes one has more, with 4 one has none."""


class OneOfOne(Processes):
    """One process that draws as several do."""

    def __init__(self) -> None:
        self.draws = torch.Generator()

    def seed(self, seed: int, step: int) -> None:
        """As :class:`Joined` has it."""
        Joined.seed(self, seed, step)  # type: ignore[arg-type]


class Losses(Callback):
    """Keeps each step's loss."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        """Keep it."""
        self.losses.append(loss)


def make_data() -> PreparedData:
    """Users of one window each."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(5, 9, USERS)
    return PreparedData(
        items=np.concatenate([generator.permutation(ITEMS)[:length] + 1 for length in lengths]).astype(np.int32),
        timestamps=np.arange(lengths.sum(), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=[""] * (ITEMS + 1),
        item_ids=["", *(str(item) for item in range(1, ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


def trained(loss: str, processes: Processes, folder: Path, dropout: float = 0.0) -> dict[str, Any]:
    """Losses of each step, validations and weights of two epochs; the folder of all but the first is their own."""
    data, callback = make_data(), Losses()
    train = TrainConfig(max_epochs=2, batch_size=BATCH, max_grad_norm=1.0, checkpoint_seconds=0.0)
    student = StudentConfig(
        embedding_dim=8,
        num_layers=1,
        num_heads=1,
        max_length=8,
        dropout=dropout,
        loss=LossConfig(**LOSSES[loss]),
        train=train,
    )
    own = folder / str(processes.rank)
    own.mkdir(parents=True, exist_ok=True)
    training = student_training(student, data, 1, "cpu", EvaluateConfig(), processes=processes)
    context = RunContext("cpu", Profiler(), own, processes=processes, first_folder=folder / "0")
    result = fit(training, train, context, 1, "f", "student", callbacks=[callback])
    weights = {name: value.detach().tolist() for name, value in training.module.state_dict().items()}
    return {
        "losses": callback.losses,
        "history": [row.metrics for row in result.history],
        "weights": weights,
        "checkpoint": sorted(path.name for path in own.glob("checkpoint*")),
    }


def sums(processes: Processes) -> dict[str, Any]:
    """What the processes tell one another."""
    rank = processes.rank
    nowhere, somewhere, everywhere, table = (torch.nn.Parameter(torch.zeros(4, 2)) for _ in range(4))
    if rank == 0:
        somewhere.grad = torch.ones(4, 2)
    else:
        rows = torch.tensor([[rank, 0, rank]])
        table.grad = torch.sparse_coo_tensor(rows, torch.ones(3, 2), (4, 2), check_invariants=True)
    everywhere.grad = torch.full((4, 2), float(rank + 1))
    loss = processes.sum_gradients([nowhere, somewhere, everywhere, table], float(rank))
    gathered, start = processes.gather(torch.arange(rank * 10, rank * 10 + rank + 1))
    gradients: list[Tensor | None] = [nowhere.grad, somewhere.grad, everywhere.grad, table.grad]
    return {
        "sums": processes.sums([1, rank, 0.1]),
        "array": processes.sum_array(np.array([rank, 2**40], dtype=np.int64)).tolist(),
        "gathered": [gathered.tolist(), start],
        "shared": processes.share({"of": rank}),
        "values": processes.gather_values(rank),
        "any": [processes.any(rank == 1), processes.any(False)],
        "own": list(processes.own([10, 11, 12, 13, 14])),
        "loss": loss,
        "gradients": [None if one is None else one.to_dense().tolist() for one in gradients],
    }


def ranking(processes: Processes) -> dict[str, Any]:
    """Ranks, lists and candidates of an untrained student."""
    data = make_data()
    targets = data.targets("validation")
    student = student_training(StudentConfig(embedding_dim=8, max_length=8), data, 3, "cpu", EvaluateConfig()).module
    candidates = np.random.default_rng(1).integers(1, ITEMS + 1, (len(targets), 4)).astype(np.int32)
    found = rank(
        data,
        targets,
        student_sequence_scorer(student, data, "cpu"),
        4,
        filter_seen=True,
        top_k=5,
        candidates=candidates,
        processes=processes,
    )
    assert found.candidate_ranks is not None
    return {
        "ranks": found.ranks.tolist(),
        "lists": found.top_items.tolist(),
        "candidate_ranks": found.candidate_ranks.tolist(),
        "repeats": found.repeats,
    }


def everything(processes: Processes, folder: Path, losses: Sequence[str]) -> dict[str, Any]:
    """All of the above."""
    told: dict[str, Any] = {"sums": sums(processes), "ranking": ranking(processes)}
    told |= {loss: trained(loss, processes, folder / loss) for loss in losses}
    return told | {"dropout": trained("cross_entropy", processes, folder / "dropout", dropout=0.5)}


def work(folder: Path, size: int) -> None:
    """In one of several processes."""
    torch.set_num_threads(1)
    processes = join("cpu", size, 1)
    patience = _get_default_group()._get_backend(torch.device("cpu")).options._timeout.total_seconds()
    told = everything(processes, folder, list(LOSSES)) | {"patience": patience}
    write_json(folder / f"{processes.rank}.json", told)
    processes.wait()
