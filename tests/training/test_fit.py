"""The loop, on a student with dropout: what it promises about gradients, interruption, stopping and logs."""

import csv
import multiprocessing
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig, LossConfig, Precision, StudentConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import Batch
from recdistill.errors import UserError
from recdistill.interruption import Interrupted, handled_signals
from recdistill.measure.context import RunContext
from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler
from recdistill.training.callbacks import Callback, CountTokens
from recdistill.training.checkpoint import CHECKPOINT_FILE, Counts, copy_weights
from recdistill.training.divergence import DivergedError
from recdistill.training.fit import fit
from recdistill.training.loading import load_batches
from recdistill.training.result import FitResult
from recdistill.training.student import StudentTraining, student_training
from recdistill.training.trainable import ParameterGroup
from recdistill.training.validations import Validation

TRAIN = TrainConfig(max_epochs=3, batch_size=10, learning_rate=0.01, patience=0, checkpoint_seconds=0.0)
SHAPE = StudentConfig(embedding_dim=8, max_length=6, dropout=0.5, windows="last", train=TRAIN)


class Killed(Exception):  # noqa: N818 (not an error of the program)
    """Stands for a process that ends at once."""


class Broken(StudentTraining):
    """Dies when the loss is asked for the n-th time."""

    kill_at = 0

    def loss(self, batch: Batch) -> Tensor:
        """The loss, if it lives."""
        self.kill_at -= 1
        if self.kill_at == 0:
            raise Killed
        return super().loss(batch)


class Watch(Callback):
    """Keeps the validations, those of earlier tries too, and ends the training at an epoch."""

    def __init__(self, end_at: float = -1) -> None:
        self.rows: list[Validation] = []
        self.end_at = end_at

    def started(self, counts: Counts, resumed: bool) -> None:
        self.rows += counts.history

    def validated(self, history: Sequence[Validation]) -> bool:
        self.rows.append(history[-1])
        return history[-1].epoch == self.end_at


def training(data: PreparedData, config: StudentConfig = SHAPE, seed: int = 5) -> StudentTraining:
    return student_training(config, data, seed, "cpu", EvaluateConfig())


def run(
    trainable: Any, folder: Path, config: TrainConfig = TRAIN, profiler: Profiler | None = None, print_: str = "one"
) -> FitResult:
    return fit(trainable, config, RunContext("cpu", profiler or Profiler(), folder), 5, print_, "student")


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def without_seconds(result: FitResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.flat().items() if key != "seconds"} for row in result.history]


def test_training_learns_and_keeps_the_best(tiny_data: PreparedData, tmp_path: Path) -> None:
    trainable = training(tiny_data)
    result = run(trainable, tmp_path, replace(TRAIN, max_epochs=12))
    rows = {row.epoch: row.watched for row in result.history}
    assert sorted(rows) == list(range(13)), "before the first epoch and after each"
    assert result.metrics["ndcg@10"] == max(rows.values()) == rows[result.best_epoch]
    assert result.metrics["ndcg@10"] > rows[0] + 0.1
    assert trainable.validate() == pytest.approx(result.metrics), "the best weights are in the module"
    assert not trainable.module.training


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kill_at", [1, 3, 5, 10])
def test_going_on_equals_not_stopping(tiny_data: PreparedData, tmp_path: Path, kill_at: int, workers: int) -> None:
    if workers and kill_at != 3:
        pytest.skip("worker processes are slow to start: one place will do")
    config = replace(TRAIN, num_workers=workers, accumulate_grad_batches=1 if kill_at < 10 else 2)
    whole = training(tiny_data)
    expected = run(whole, tmp_path / "whole", config)

    broken = training(tiny_data)
    broken.__class__ = Broken
    broken.kill_at = kill_at  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        run(broken, tmp_path / "cut", config)
    anew = training(tiny_data, seed=5 if kill_at == 1 else 6)  # other first weights: all must come from the checkpoint
    anew.seed = 5
    result = run(anew, tmp_path / "cut", config)

    assert without_seconds(result) == without_seconds(expected)
    assert same(copy_weights(anew.module), copy_weights(whole.module))
    with (tmp_path / "cut/training.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(set(steps)) == [row.step for row in expected.history]


def test_a_worker_process_makes_the_same_numbers(tiny_data: PreparedData, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1):
        trainable = training(tiny_data)
        run(trainable, tmp_path / str(workers), replace(TRAIN, num_workers=workers, max_epochs=2))
        found.append(copy_weights(trainable.module))
    assert same(*found)


class Signalled(StudentTraining):
    """A signal comes while the n-th loss is computed, or the n-th validation."""

    signal_at = validation_at = 0

    def loss(self, batch: Batch) -> Tensor:
        """The loss, and perhaps a signal."""
        self.signal_at -= 1
        if self.signal_at == 0:
            signal.raise_signal(signal.SIGTERM)
        return super().loss(batch)

    def validate(self) -> dict[str, float]:
        """The metrics, unless a signal breaks them off."""
        self.validation_at -= 1
        if self.validation_at == 0:
            signal.raise_signal(signal.SIGINT)
        return super().validate()


AT = [*(("signal_at", step) for step in (1, 4, 6)), *(("validation_at", turn) for turn in (1, 3, 4))]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("where", "place"), AT)
def test_a_signal_costs_nothing(tiny_data: PreparedData, tmp_path: Path, where: str, place: int, workers: int) -> None:
    """The step that runs is finished and saved, whatever `checkpoint_seconds` says; going on equals not stopping."""
    if workers and place != 4:
        pytest.skip("worker processes are slow to start: one place will do")
    config = replace(TRAIN, num_workers=workers, checkpoint_seconds=3600.0)
    whole = training(tiny_data)
    expected = run(whole, tmp_path / "whole", config)

    broken = training(tiny_data)
    broken.__class__ = Signalled
    setattr(broken, where, place)
    with pytest.raises(Interrupted) as stopped, handled_signals(quiet=True):
        run(broken, tmp_path / "cut", config)
    saved = tmp_path / "cut" / CHECKPOINT_FILE
    untrained = (where, place) == ("validation_at", 1)
    assert saved.is_file() is not untrained
    if where == "signal_at":
        assert stopped.value.saved.endswith(f"{place} steps in all")
    anew = training(tiny_data, seed=5 if untrained else 6)  # other first weights: all must come from the checkpoint
    anew.seed = 5
    watch = Watch()
    context = RunContext("cpu", Profiler(), tmp_path / "cut")
    result = fit(anew, config, context, 5, "one", "student", callbacks=[watch])
    rows = watch.rows

    assert without_seconds(result) == without_seconds(expected)
    assert [row.epoch for row in rows] == [row.epoch for row in expected.history], "those before the signal too"
    assert same(copy_weights(anew.module), copy_weights(whole.module))
    assert not multiprocessing.active_children()


def test_a_second_signal_saves_nothing(tiny_data: PreparedData, tmp_path: Path) -> None:
    broken = training(tiny_data)
    broken.__class__ = Signalled
    broken.signal_at, broken.validation_at = 3, 2  # type: ignore[attr-defined]
    config = replace(TRAIN, checkpoint_seconds=3600.0, accumulate_grad_batches=100)

    def loss(batch: Batch) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)
        return Signalled.loss(broken, batch)  # type: ignore[arg-type]

    broken.loss = loss  # type: ignore[method-assign]
    with pytest.raises(Interrupted) as stopped, handled_signals(quiet=True):
        run(broken, tmp_path, config)
    assert stopped.value.at_once
    assert not (tmp_path / CHECKPOINT_FILE).exists()


def test_worker_processes_leave_signals_to_their_parent(tiny_data: PreparedData) -> None:
    """As Ctrl-C and `timeout` send them to all processes of a group; the parent's own SIGTERM ends one."""
    plan = training(tiny_data).plan(0)
    batches = load_batches(training(tiny_data).collate, [*plan] * 5, 1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    for name in ("INT", "TERM"):  # from another process than the parent
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert len(list(batches)) == 5 * len(plan) - 1
    del batches

    ended = load_batches(training(tiny_data).collate, plan, 1)
    next(ended)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_a_finished_run_only_gives_its_result(tiny_data: PreparedData, tmp_path: Path) -> None:
    first = training(tiny_data)
    expected = run(first, tmp_path)
    again = training(tiny_data, seed=6)
    result = run(again, tmp_path)
    assert result.history == expected.history
    assert result.seconds == expected.seconds
    assert same(copy_weights(again.module), copy_weights(first.module))


def test_other_settings_are_refused(tiny_data: PreparedData, tmp_path: Path) -> None:
    run(training(tiny_data), tmp_path)
    with pytest.raises(UserError, match=f"{CHECKPOINT_FILE}: made with other settings"):
        run(training(tiny_data), tmp_path, print_="two")


def test_a_checkpoint_without_the_counts_that_are_asked_for_is_refused(tiny_data: PreparedData, tmp_path: Path) -> None:
    run(training(tiny_data), tmp_path)
    context = RunContext("cpu", Profiler(), tmp_path)
    with pytest.raises(UserError, match=f"{CHECKPOINT_FILE}: of an earlier version; remove it"):
        fit(training(tiny_data), TRAIN, context, 5, "one", "student", callbacks=[CountTokens(TokenCount())])


def test_same_seed_same_weights_and_the_generator_left_alone(tiny_data: PreparedData, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = training(tiny_data)
    run(first, tmp_path / "a")
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    second, other = training(tiny_data), training(tiny_data, seed=6)
    run(second, tmp_path / "b")
    run(other, tmp_path / "c")
    assert same(copy_weights(first.module), copy_weights(second.module))
    assert not same(copy_weights(first.module), copy_weights(other.module))


class Still(StudentTraining):
    """Without dropout, all windows in one order: the same targets whatever the batch size."""

    def plan(self, epoch: int) -> list[Any]:
        """Rows in order."""
        rows = torch.arange(len(self.windows)).numpy()
        size = self.train.batch_size
        return [rows[start : start + size] for start in range(0, len(rows), size)]


def test_accumulated_gradients_equal_the_large_batch(tiny_data: PreparedData, tmp_path: Path) -> None:
    """The gradients that reach the optimiser, also of a smaller last group and micro-batches of unlike size."""
    seen: dict[int, list[Tensor]] = {}
    for pieces in (1, 4):
        config = replace(TRAIN, batch_size=24 // pieces, accumulate_grad_batches=pieces, max_epochs=1)
        trainable = training(tiny_data, replace(SHAPE, dropout=0.0, train=config))
        trainable.__class__ = Still
        assert len(trainable.windows) % 24 > 6, "or the last group is whole"
        with pytest.MonkeyPatch.context() as patch:
            seen[pieces] = watch_gradients(patch)
            run(trainable, tmp_path / str(pieces), replace(config, learning_rate=1e-30))
    assert len(seen[1]) == len(seen[4]) > 1
    for whole, summed in zip(seen[1], seen[4], strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-4, atol=1e-7)


def watch_gradients(patch: pytest.MonkeyPatch) -> list[Tensor]:
    """All gradients in one vector, as each step of AdamW gets them."""
    seen: list[Tensor] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *arguments: Any) -> Any:
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        seen.append(torch.cat([p.grad.flatten() for p in parameters]))
        return step(self, *arguments)

    patch.setattr(torch.optim.AdamW, "step", watched)
    return seen


class Scripted(StudentTraining):
    """Validation goes as written."""

    script: list[float]

    def validate(self) -> dict[str, float]:
        """The next value."""
        return {"ndcg@10": self.script.pop(0)}


def scripted(data: PreparedData, script: list[float]) -> Scripted:
    trainable = training(data)
    trainable.__class__ = Scripted
    trainable.script = script  # type: ignore[attr-defined]
    return trainable  # type: ignore[return-value]


def test_stops_after_patience(tiny_data: PreparedData, tmp_path: Path) -> None:
    result = run(scripted(tiny_data, [0.1, 0.3, 0.2, 0.3]), tmp_path, replace(TRAIN, max_epochs=50, patience=2))
    assert (result.best_epoch, result.epochs) == (1, 3)
    assert result.metrics == {"ndcg@10": 0.3}


def test_untrained_weights_are_kept_where_training_makes_nothing_better(
    tiny_data: PreparedData, tmp_path: Path
) -> None:
    trainable = scripted(tiny_data, [0.5, 0.4, 0.4])
    before = copy_weights(trainable.module)
    result = run(trainable, tmp_path, replace(TRAIN, patience=2))
    assert result.best_epoch == 0
    assert same(copy_weights(trainable.module), before)


@pytest.mark.parametrize(("every", "epochs"), [(0.5, [0, 0.5, 1, 1.5, 2]), (2, [0, 2]), (3, [0, 2])])
def test_validates_when_told(tiny_data: PreparedData, tmp_path: Path, every: float, epochs: list[float]) -> None:
    config = replace(TRAIN, max_epochs=2, validate_every=every, batch_size=7)
    result = run(training(tiny_data, replace(SHAPE, train=config)), tmp_path, config)
    assert [row.epoch for row in result.history] == pytest.approx(epochs, abs=0.1)


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(tiny_data: PreparedData, tmp_path: Path) -> None:
    trainable = training(tiny_data)
    losses = iter([1.0, 1.0, float("nan")])
    trainable.loss = lambda batch: next(losses) * trainable.module.items.ids.sum()  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"student: .* at step 3; try a lower student\.train\.learning_rate or"):
        run(trainable, tmp_path)
    assert torch.isfinite(trainable.module.items.ids).all()


@pytest.mark.parametrize(
    ("name", "clip", "precision", "advice"),
    [
        ("distilled student", 0.0, "fp32", "a lower distill.train.learning_rate or distill.train.max_grad_norm: 1"),
        ("teacher", 1.0, "fp32", "a lower teacher.train.learning_rate or a lower teacher.train.max_grad_norm$"),
        ("teacher", 1.0, "bf16", "a lower teacher.train.max_grad_norm or teacher.precision: fp32$"),
    ],
)
def test_advice_names_settings_that_are_there_and_can_be_changed(
    tiny_data: PreparedData, tmp_path: Path, name: str, clip: float, precision: Precision, advice: str
) -> None:
    trainable, config = training(tiny_data), replace(TRAIN, max_grad_norm=clip)
    trainable.loss = lambda batch: float("nan") * trainable.module.items.ids.sum()  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=advice):
        fit(trainable, config, RunContext("cpu", Profiler(), tmp_path), 5, "x", name, precision=precision)


def test_weights_that_are_no_numbers_are_not_validated(tiny_data: PreparedData, tmp_path: Path) -> None:
    trainable = scripted(tiny_data, [0.1, 0.2])
    items = trainable.module.items.ids
    # The root of zero is zero, and its gradient is not a number: in the epoch's one step, the loss shows nothing.
    trainable.loss = lambda batch: (0 * items).sum().sqrt()  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=r"student: the weights .* after step 1; try a lower student\.train\.learn"):
        run(trainable, tmp_path, replace(TRAIN, accumulate_grad_batches=1000))
    assert trainable.script == [0.2], "validated once, before the first step"


def test_gradients_are_clipped(tiny_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable = training(tiny_data)
    trainable.loss = lambda batch: 1e6 * trainable.module.items.ids.sum()  # type: ignore[method-assign]
    gradients = watch_gradients(monkeypatch)
    run(trainable, tmp_path, replace(TRAIN, max_epochs=1, max_grad_norm=0.5))
    norms = [gradient.norm().item() for gradient in gradients]
    assert norms
    assert norms == pytest.approx([0.5] * len(norms), rel=1e-4)


def test_learning_rates_follow_schedule_and_factors(tiny_data: PreparedData, tmp_path: Path) -> None:
    trainable = training(tiny_data)
    parameters = list(trainable.module.parameters())
    groups: list[ParameterGroup] = [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:]}]
    trainable.parameter_groups = lambda: groups  # type: ignore[method-assign]
    config = replace(TRAIN, max_epochs=4, warmup_fraction=0.5, final_fraction=0.0)
    rates = [row.learning_rate for row in run(trainable, tmp_path, config).history]
    assert rates == [None, *(pytest.approx(0.1 * 0.01 * factor, abs=1e-12) for factor in (0.5, 1.0, 0.5, 0.0))]


def test_phases_are_timed_apart_and_logs_written(tiny_data: PreparedData, tmp_path: Path) -> None:
    with Profiler() as profiler:
        run(training(tiny_data), tmp_path, profiler=profiler)
    assert set(profiler.seconds) == {"set-up", "data wait", "train step", "validation", "checkpoint"}
    with (tmp_path / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "targets", "loss", "learning_rate", "ndcg@10", "hit_rate@10", "seconds"]
    assert rows[0]["loss"] == ""
    assert float(rows[-1]["loss"]) < float(rows[1]["loss"])
    assert list((tmp_path / "tensorboard").iterdir())


def test_sampled_losses_go_on_the_same_too(tiny_data: PreparedData, tmp_path: Path) -> None:
    shape = replace(SHAPE, loss=LossConfig(name="gbce", negatives=4))
    whole, broken = training(tiny_data, shape), training(tiny_data, shape)
    run(whole, tmp_path / "whole")
    broken.__class__ = Broken
    broken.kill_at = 4  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        run(broken, tmp_path / "cut")
    anew = training(tiny_data, shape)
    run(anew, tmp_path / "cut")
    assert same(copy_weights(anew.module), copy_weights(whole.module))


def test_whoever_watches_the_validations_may_end_the_training(tiny_data: PreparedData, tmp_path: Path) -> None:
    config = TrainConfig(max_epochs=5, batch_size=10)
    shape = StudentConfig(embedding_dim=8, max_length=6, train=config)
    watch = Watch(end_at=2)
    training = student_training(shape, tiny_data, 0, "cpu", EvaluateConfig())
    context = RunContext("cpu", Profiler(), tmp_path)
    result = fit(training, config, context, 0, "x", "x", callbacks=[watch])
    rows = watch.rows
    assert [row.epoch for row in rows] == [0, 1, 2]
    assert result.epochs == 2
    assert result.metrics["ndcg@10"] == max(row.watched for row in rows), "the best weights are put back"


def test_adam_keeps_its_squares_as_long_as_it_is_told(tiny_data: PreparedData, tmp_path: Path) -> None:
    def trained(name: str, beta2: float) -> Tensor:
        train = replace(TRAIN, beta2=beta2)
        training = student_training(replace(SHAPE, train=train), tiny_data, 1, "cpu", EvaluateConfig())
        folder = tmp_path / name
        folder.mkdir()
        with Profiler("cpu") as profiler:
            fit(training, train, RunContext("cpu", profiler, folder), 1, name, "student")
        return training.module.item_vectors().detach().clone()

    default, same, other = trained("a", 0.98), trained("b", TrainConfig().beta2), trained("c", 0.999)
    assert torch.equal(default, same)
    assert not torch.allclose(default, other, atol=1e-4)
