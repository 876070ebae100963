from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.config import EvaluateConfig, LossConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.config.loss import LARGE
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.metrics import means
from recdistill.evaluation.protocol import validation_metrics
from recdistill.evaluation.ranking import rank
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json
from recdistill.storage.run_folder import fingerprint
from recdistill.students.losses import cross_entropy
from recdistill.training.fit import fit
from recdistill.training.lazy_adam import LazyAdamW
from recdistill.training.student import (
    settled_loss,
    student_scorer,
    student_sequence_scorer,
    student_training,
    train_student,
)

TRAIN = TrainConfig(max_epochs=3, batch_size=10, learning_rate=0.01)
SHAPE = StudentConfig(embedding_dim=8, max_length=6, dropout=0.1, windows="all", train=TRAIN)
RUN = RunConfig(student=SHAPE, teacher=TeacherConfig(history_length=6))


def test_the_saved_student_is_the_best_one(tiny_data: PreparedData, tmp_path: Path) -> None:
    with Profiler() as profiler:
        result = train_student(RUN, tiny_data, RunContext("cpu", profiler, tmp_path))
    assert validation_metrics(student_scorer(tmp_path, tiny_data, "cpu"), tiny_data, EvaluateConfig()) == pytest.approx(
        result.metrics
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"student.json", "student.safetensors", "training.csv", "tensorboard"}, "and no checkpoint"
    assert "write" in profiler.seconds


def test_a_checkpoint_of_other_data_or_settings_is_refused(tiny_data: PreparedData, tmp_path: Path) -> None:
    training = student_training(SHAPE, tiny_data, RUN.seed, "cpu", EvaluateConfig())
    name = fingerprint("student", SHAPE, RUN.seed, tiny_data.fingerprint, tiny_data.split_fingerprint)
    fit(training, TRAIN, RunContext("cpu", Profiler(), tmp_path), RUN.seed, name, "student")
    for config, data in (
        (replace(RUN, seed=1), tiny_data),
        (replace(RUN, student=replace(SHAPE, dropout=0.2)), tiny_data),
        (RUN, replace(tiny_data, split_fingerprint="another")),
    ):
        with pytest.raises(UserError, match="made with other settings or other data"):
            train_student(config, data, RunContext("cpu", Profiler(), tmp_path))
    train_student(RUN, tiny_data, RunContext("cpu", Profiler(), tmp_path))


def test_every_training_target_is_learned_from_once_and_no_other(tiny_data: PreparedData) -> None:
    training = student_training(SHAPE, tiny_data, 0, "cpu", EvaluateConfig())
    seen = []
    for rows in training.plan(3):
        batch = training.collate(rows)
        user, place = (batch.targets > 0).nonzero(as_tuple=True)
        keys = batch.users[user], batch.positions[user, place] + 1, batch.targets[user, place]
        seen += list(zip(*(key.tolist() for key in keys), strict=True))
        assert training.num_targets(batch) == len(user)
    targets = tiny_data.targets("train")
    expected = zip(targets.users, targets.positions, tiny_data.target_items(targets), strict=True)
    assert sorted(seen) == sorted((int(u), int(p), int(i)) for u, p, i in expected)


def test_plans_follow_seed_and_epoch_alone(tiny_data: PreparedData) -> None:
    def plan(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in student_training(SHAPE, tiny_data, seed, "cpu", EvaluateConfig()).plan(epoch)]

    assert plan(1, 2) == plan(1, 2)
    assert plan(1, 2) != plan(1, 3)
    assert plan(1, 2) != plan(2, 2)


def test_loss_is_that_of_the_real_positions(tiny_data: PreparedData) -> None:
    training = student_training(SHAPE, tiny_data, 0, "cpu", EvaluateConfig())
    training.module.eval()
    batch = training.collate(training.plan(0)[0])
    expected = 0.0
    for items, targets in zip(batch.items, batch.targets, strict=True):
        length = int((items > 0).sum())
        states = training.module.states(items[:length].unsqueeze(0))[0]
        real = targets[:length] > 0
        loss = cross_entropy(states[real], training.module.item_vectors(), targets[:length][real])
        expected += loss.item()
    assert training.loss(batch).item() == pytest.approx(expected, rel=1e-4)


MIXED = LossConfig(
    name="sampled_softmax", negatives=3, shared=True, popularity_power=0.5, in_batch=True, log_q=True, lazy_adam=True
)
LOSSES = {
    **{
        name: LossConfig(name=name, negatives=4) for name in ("auto", "cross_entropy", "sampled_softmax", "gbce", "bce")
    },
    "mixed softmax": MIXED,
    "mixed gbce": replace(MIXED, name="gbce"),
}


@pytest.mark.parametrize("model", ["sasrec", "gru4rec"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_student_learns_the_ring_with_every_loss(tiny_data: PreparedData, model: str, loss: str) -> None:
    """The next item is one step on with probability 3/4, two with 1/4; a guess finds one in six."""
    shape = replace(SHAPE, model=model, loss=LOSSES[loss], embedding_dim=16, num_layers=1)  # type: ignore[arg-type]
    training = student_training(replace(shape, dropout=0.0), tiny_data, 0, "cpu", EvaluateConfig())
    torch.manual_seed(0)
    optimizer = LazyAdamW(training.module.parameters(), lr=0.02)
    for epoch in range(12):
        for rows in training.plan(epoch):
            batch = training.collate(rows)
            optimizer.zero_grad()
            (training.loss(batch) / training.num_targets(batch)).backward()
            optimizer.step()
    scorer = student_sequence_scorer(training.module, tiny_data, "cpu")
    targets = tiny_data.targets("test")
    ranks = rank(tiny_data, targets, scorer, 16, filter_seen=False, top_k=1).ranks
    assert np.mean(ranks <= 2) > (0.45 if loss == "mixed gbce" else 0.6), means(ranks)


def test_a_step_moves_the_items_it_speaks_of_alone(tiny_data: PreparedData) -> None:
    shape = replace(SHAPE, loss=replace(MIXED, negatives=1, in_batch=False))
    training = student_training(shape, tiny_data, 0, "cpu", EvaluateConfig())
    batch = training.collate(training.plan(0)[0][:1])
    training.loss(batch).backward()
    gradient = training.module.items.ids.grad
    assert gradient is not None
    assert gradient.is_sparse
    named = {0, *batch.items.flatten().tolist(), *batch.targets.flatten().tolist()}
    moved = set(gradient.coalesce().indices().flatten().tolist())
    assert named <= moved
    assert len(moved - named) <= 1  # the negative


def test_what_auto_took_is_told_and_kept(
    tiny_data: PreparedData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "recdistill"):
        settled_loss(LossConfig(name="auto"), 20_000, tmp_path)
    assert "auto takes sampled_softmax for 20000 items" in caplog.text
    found = read_json(tmp_path / "loss.json")
    assert found["taken"]["negatives"] == LARGE.sampling.negatives
    settled_loss(LossConfig(name="auto"), 200, tmp_path)
    assert read_json(tmp_path / "loss.json") == {"items": 200, "taken": {"name": "cross_entropy"}}
    (tmp_path / "loss.json").unlink()
    settled_loss(LossConfig(), 200, tmp_path)
    assert not (tmp_path / "loss.json").exists()
