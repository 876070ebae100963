from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from recdistill.config import DistillConfig, EvaluateConfig, LossConfig, RunConfig, StudentConfig, TrainConfig
from recdistill.data.mixed_histories import with_mixed_histories
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import training_windows
from recdistill.distill import strength
from recdistill.distill.dro import propensities
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.writer import OutputsWriter
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json
from recdistill.students.make import load_student, make_student, save_student
from recdistill.teacher.whitening import whiten
from recdistill.training.distilled import DistillBatch, DistilledTraining, make_distilled, train_distilled
from recdistill.training.selecting import selected_events
from recdistill.training.student import StudentTraining, train_student
from recdistill.training.validations import Validation

ITEMS, TOP_K, HIDDEN = 40, 6, 5
PRINTS = Fingerprints("d1", "s1", "t1")


@pytest.fixture(scope="module")
def data() -> PreparedData:
    generator = np.random.default_rng(1)
    histories = [generator.permutation(ITEMS)[: generator.integers(5, 16)] + 1 for _ in range(24)]
    lengths = np.array([len(history) for history in histories])
    names = ["", *(str(item) for item in range(1, ITEMS + 1))]
    return PreparedData(
        np.concatenate(histories).astype(np.int32),
        np.zeros(lengths.sum(), np.int64),
        np.concatenate([[0], np.cumsum(lengths)]),
        (lengths - 2).astype(np.int32),
        (lengths - 1).astype(np.int32),
        names,
        names,
        PRINTS.data,
        PRINTS.split,
    )


def record_of(user: int, position: int) -> tuple[np.ndarray, np.ndarray]:
    """The list and the scores that the store holds for a key."""
    generator = np.random.default_rng([user, position])
    return generator.permutation(ITEMS)[:TOP_K] + 1, -np.sort(-generator.standard_normal(TOP_K)) * 2


def write_store(
    folder: Path, targets: Targets, record: Callable[[int, int], tuple[np.ndarray, np.ndarray]] = record_of
) -> OutputsReader:
    rows = np.random.default_rng(2).permutation(len(targets))
    users, positions = targets.users[rows], targets.positions[rows]
    records = [record(*key) for key in zip(users.tolist(), positions.tolist(), strict=True)]
    items, scores = (np.stack(column) for column in zip(*records, strict=True))
    with OutputsWriter(folder, PRINTS, TOP_K, 2, 50) as writer:
        writer.write_item_embeddings(np.random.default_rng(3).standard_normal((ITEMS + 1, HIDDEN)))
        writer.append(users, positions, items, scores, np.zeros((len(rows), 2)))
    return OutputsReader(folder, PRINTS)


@pytest.fixture(scope="module")
def reader(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> OutputsReader:
    return write_store(tmp_path_factory.mktemp("outputs"), data.targets("train"))


def make_config(max_epochs: int = 1, **distill: Any) -> RunConfig:
    train = TrainConfig(max_epochs=max_epochs, batch_size=8, patience=0)
    student = StudentConfig(embedding_dim=8, num_layers=1, num_heads=1, max_length=6, dropout=0.1, train=train)
    base = RunConfig()
    teacher = replace(base.teacher, history_length=6, title_dim=4)
    few: dict[str, Any] = {"top_k": 4, "weight": 8.0, "dropout": 0.1, "train": train}
    settings = DistillConfig(**(few | distill))
    return replace(base, student=student, teacher=teacher, distill=settings)


def make_training(
    config: RunConfig,
    data: PreparedData,
    reader: OutputsReader,
    selected: np.ndarray | None = None,
    folder: Path | None = None,
) -> DistilledTraining:
    windows = training_windows(data, config.student.max_length, "all")
    student = make_distilled(config, data, reader, folder).eval()
    plain = StudentTraining(
        student, data, windows, config.distill.loss, config.distill.train, config.seed, "cpu", EvaluateConfig()
    )
    chosen = np.ones(len(data.items), dtype=np.bool_) if selected is None else selected
    return DistilledTraining(plain, config.distill, reader, chosen)


def rows_of(training: DistilledTraining, batch: DistillBatch) -> list[tuple[int, int, torch.Tensor]]:
    """User, position and state of each target, found by a loop."""
    states = training.module.states(batch.batch.items)
    rows = []
    for row, column in (batch.batch.targets > 0).nonzero().tolist():
        position = int(batch.batch.positions[row, column]) + 1
        rows.append((int(batch.batch.users[row]), position, states[row, column]))
    return rows


@pytest.mark.parametrize("drop", [False, True])
def test_records_are_those_of_the_targets_keys_in_every_batch(
    data: PreparedData, reader: OutputsReader, drop: bool
) -> None:
    training = make_training(make_config(drop_target=drop), data, reader)
    seen, dropped = set(), 0
    for rows in training.plan(0):
        batch = training.collate(rows)
        for place, (user, position, _) in enumerate(rows_of(training, batch)):
            items, scores = record_of(user, position)
            kept = items != data.history(user, position + 1)[-1] if drop else items > 0
            dropped += int((~kept).sum())
            assert batch.top_items[place].tolist() == items[kept][:4].tolist()
            np.testing.assert_allclose(batch.top_scores[place], scores[kept][:4], rtol=1e-6)
            seen.add((user, position))
    assert (dropped > 0) == drop
    targets = data.targets("train")
    assert seen == set(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))


def test_the_loss_is_the_paper_formula_row_by_row(data: PreparedData, reader: OutputsReader) -> None:
    config = make_config(method="dllm2rec", weight=0.7, dro_weight=0.3, dro_temperature=2.0)
    training = make_training(config, data, reader)
    with torch.no_grad():  # Larger vectors, so that scores differ.
        training.module.items.ids[1:] += torch.randn(ITEMS, 8, generator=torch.Generator().manual_seed(4))
    batch = training.collate(training.plan(0)[0])
    vectors, expected = training.module.item_vectors(), torch.zeros(())
    propensity = propensities(torch.from_numpy(data.train_item_counts()))
    for user, position, state in rows_of(training, batch):
        target = int(data.history(user, position + 1)[-1])
        scores = vectors @ state
        expected = expected + scores[1:].logsumexp(0) - scores[target]
        items, teacher = (torch.from_numpy(part[:4].copy()) for part in record_of(user, position))
        own = set((scores[1:].topk(4).indices + 1).tolist())
        place = torch.exp(-torch.arange(1.0, 5.0))
        shared = torch.tensor([float(int(item) in own) for item in items])
        weights = 0.3 * place / place.sum() + 0.5 * teacher.softmax(0) + 0.1 * shared / shared.sum().clamp_min(1)
        expected = expected - 0.7 * (weights / weights.sum() * logsigmoid(scores[items])).sum()
        exponents = propensity * scores[1:] ** 2 / 2.0
        exponents = torch.cat(
            [
                exponents[: target - 1],
                exponents[target:],
                propensity[target - 1 : target] * (scores[target] - 1) ** 2 / 2,
            ]
        )
        expected = expected + 0.3 * exponents.logsumexp(0)
    torch.testing.assert_close(training.loss(batch), expected.float(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["dllm2rec", "topk_kl", "full_catalog_ce", "listwise"])
def test_a_list_that_holds_its_target_alone_teaches_nothing(data: PreparedData, tmp_path: Path, method: str) -> None:
    def target_alone(user: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        items, scores = np.zeros(TOP_K, np.int64), np.full(TOP_K, -np.inf)
        items[0], scores[0] = data.history(user, position + 1)[-1], 2.0
        return items, scores

    reader = write_store(tmp_path, data.targets("train"), target_alone)
    taught, plain = (
        make_training(make_config(method=method, drop_target=True, weight=weight), data, reader)
        for weight in (3.0, 0.0)
    )
    batch = taught.collate(taught.plan(0)[0])
    assert bool(batch.selected.any()) == (method == "full_catalog_ce")  # whose lists keep their targets
    if method == "full_catalog_ce":
        torch.testing.assert_close(taught.loss(batch), 4 * plain.loss(batch), rtol=1e-5, atol=1e-4)
    else:
        torch.testing.assert_close(taught.loss(batch), plain.loss(batch))


def test_what_stands_next_in_a_made_up_history_stays_in_its_list(data: PreparedData, tmp_path: Path) -> None:
    asked = with_mixed_histories(data, 6, 5, seed=3)

    def with_target(user: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        items, scores = record_of(user, position)
        target = asked.history(user, position + 1)[-1]
        return np.concatenate([[target], items[items != target]])[:TOP_K], scores

    reader = write_store(tmp_path, asked.targets("train"), with_target)
    config = make_config(drop_target=True)
    windows = training_windows(asked, config.student.max_length, "all")
    student = make_distilled(config, data, reader).eval()
    plain = StudentTraining(
        student, asked, windows, config.distill.loss, config.distill.train, config.seed, "cpu", EvaluateConfig()
    )
    training = DistilledTraining(plain, config.distill, reader, np.ones(len(asked.items), np.bool_), data)
    batch = training.collate(np.arange(len(windows)))
    real = batch.batch.targets > 0
    mixed_histories = (batch.batch.users >= data.num_users).unsqueeze(1).expand_as(real)[real]
    assert bool(mixed_histories.any())
    assert not bool(mixed_histories.all())
    assert torch.equal(batch.top_items[:, 0] == batch.batch.targets[real], mixed_histories)


def test_of_made_up_users_the_lists_alone_are_learned(data: PreparedData, tmp_path: Path) -> None:
    asked = with_mixed_histories(data, 6, 5, seed=3)
    reader = write_store(tmp_path, asked.targets("train"))
    config = make_config(method="topk_kl", weight=0.7, temperature=2.0, dro_weight=0.2)
    windows = training_windows(asked, config.student.max_length, "all")
    student = make_distilled(config, data, reader).eval()

    def loss(weight: float, dro: float, users: range) -> torch.Tensor:
        distill = replace(config.distill, weight=weight, dro_weight=dro)
        plain = StudentTraining(
            student, asked, windows, distill.loss, distill.train, config.seed, "cpu", EvaluateConfig()
        )
        training = DistilledTraining(plain, distill, reader, np.ones(len(asked.items), np.bool_), data)
        return training.loss(training.collate(np.flatnonzero(np.isin(windows.users, list(users)))))

    own, mixed_histories = range(data.num_users), range(data.num_users, asked.num_users)
    assert float(loss(0.0, 0.0, mixed_histories)) == 0.0
    assert float(loss(0.0, 0.2, mixed_histories)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(0.7, 0.0, mixed_histories)) > 0
    every, plain_windows = np.ones(len(asked.items), np.bool_), training_windows(data, 6, "all")
    alone = StudentTraining(
        student, data, plain_windows, config.distill.loss, TrainConfig(), 0, "cpu", EvaluateConfig()
    )
    beside = StudentTraining(student, asked, windows, config.distill.loss, TrainConfig(), 0, "cpu", EvaluateConfig())
    torch.testing.assert_close(
        DistilledTraining(beside, config.distill, reader, every, data).propensity,
        DistilledTraining(alone, config.distill, reader, every).propensity,
    )
    both = loss(0.7, 0.2, range(asked.num_users))
    torch.testing.assert_close(both, loss(0.7, 0.2, own) + loss(0.7, 0.0, mixed_histories), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["topk_kl", "full_catalog_ce", "listwise", "dllm2rec"])
def test_what_stands_next_in_a_made_up_history_is_not_learned(data: PreparedData, tmp_path: Path, method: str) -> None:
    asked = with_mixed_histories(data, 6, 5, seed=3)
    reader = write_store(tmp_path, asked.targets("train"))
    config = make_config(method=method)
    windows = training_windows(asked, config.student.max_length, "all")
    student = make_distilled(config, data, reader).eval()
    plain = StudentTraining(
        student, asked, windows, config.distill.loss, config.distill.train, config.seed, "cpu", EvaluateConfig()
    )
    training = DistilledTraining(plain, config.distill, reader, np.ones(len(asked.items), np.bool_), data)
    batch = training.collate(np.flatnonzero(windows.users >= data.num_users))
    others = torch.where(batch.batch.targets > 0, batch.batch.targets % ITEMS + 1, 0)
    changed = replace(batch, batch=replace(batch.batch, targets=others))
    torch.testing.assert_close(training.loss(changed), training.loss(batch), rtol=1e-4, atol=1e-3)


def test_without_weight_on_the_lists_made_up_histories_change_nothing(
    data: PreparedData, plain_student: Path, tmp_path: Path
) -> None:
    asked = with_mixed_histories(data, 6, 5, seed=3)
    (tmp_path / "outputs").mkdir()
    reader = write_store(tmp_path / "outputs", asked.targets("train"))
    results = []
    for number, histories in enumerate((data, asked)):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = make_config(2, weight=0.0)
        with Profiler("cpu") as profiler:
            result = train_distilled(
                config, data, histories, reader, plain_student, RunContext("cpu", profiler, folder)
            )
        results.append((result.steps, [row.loss for row in result.history]))
    assert repr(results[0]) == repr(results[1])


@pytest.mark.parametrize(("limit", "weight", "dropout"), [(1.0, 8.0, 0.1), (1000.0, 1.0, None)])
def test_auto_trains_as_with_the_numbers_that_the_data_decides(
    data: PreparedData,
    reader: OutputsReader,
    plain_student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: float,
    weight: float,
    dropout: float | None,
) -> None:
    monkeypatch.setattr(strength, "MANY_EVENTS", limit)
    losses = []
    both: list[dict[str, Any]] = [{"weight": "auto", "dropout": "auto"}, {"weight": weight, "dropout": dropout}]
    for number, settings in enumerate(both):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Profiler("cpu") as profiler:
            config = make_config(2, **settings)
            context = RunContext("cpu", profiler, folder)
            result = train_distilled(config, data, data, reader, plain_student, context)
        assert context.chosen == ({} if number else {"weight": weight, "dropout": dropout})
        losses.append([row.loss for row in result.history])
        assert (folder / "strength.json").is_file() == (number == 0)
    assert losses[0] == losses[1]
    found = read_json(tmp_path / "0" / "strength.json")["events_per_item"]
    assert found == pytest.approx(sum(data.train_ends) / ITEMS)


def test_only_selected_targets_are_distilled(data: PreparedData, reader: OutputsReader) -> None:
    config = make_config(method="topk_kl", weight=2.0, temperature=1.5)
    every = np.ones(len(data.items), dtype=np.bool_)
    odd = every.copy()
    odd[::2] = False
    sums = {}
    for name, selected in {"none": ~every, "odd": odd, "even": ~odd, "all": every}.items():
        training = make_training(config, data, reader, selected)
        sums[name] = training.loss(training.collate(training.plan(0)[0])).item()
    assert sums["none"] < min(sums["odd"], sums["even"])
    assert sums["odd"] + sums["even"] - sums["none"] == pytest.approx(sums["all"], rel=1e-5)
    plain = make_training(replace(config, distill=replace(config.distill, weight=0.0)), data, reader)
    assert sums["none"] == pytest.approx(plain.loss(plain.collate(plain.plan(0)[0])).item(), rel=1e-6)


def test_a_target_that_the_store_lacks_is_named(data: PreparedData, tmp_path: Path) -> None:
    targets = data.targets("train")
    lacking = write_store(tmp_path, Targets(targets.users[1:], targets.positions[1:]))
    training = make_training(make_config(), data, lacking)
    with pytest.raises(UserError, match="lacks the target at position 1 of user 0; run `recdistill export` again"):
        training.collate(np.arange(3))


def train(config: RunConfig, data: PreparedData, reader: OutputsReader, folder: Path) -> Any:
    with Profiler() as profiler:
        result = train_distilled(
            config, data, data, reader, folder.parent / "student", RunContext("cpu", profiler, folder)
        )
    assert {"selection", "set-up", "train step", "validation", "write"} <= set(profiler.seconds)
    return result


def without_seconds(history: list[Validation]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.flat().items() if key != "seconds"} for row in history]


def test_without_the_teacher_it_is_the_plain_student(data: PreparedData, reader: OutputsReader, tmp_path: Path) -> None:
    config = make_config(weight=0.0, embedding_weight=0.0)
    distilled = train(config, data, reader, tmp_path / "distilled")
    with Profiler() as profiler:
        plain = train_student(config, data, RunContext("cpu", profiler, tmp_path / "plain"))
    assert without_seconds(distilled.history) == without_seconds(plain.history)


def test_the_same_seed_gives_the_same_numbers(data: PreparedData, reader: OutputsReader, tmp_path: Path) -> None:
    one, two = (train(make_config(), data, reader, tmp_path / name) for name in ("one", "two"))
    assert without_seconds(one.history) == without_seconds(two.history)


def test_the_saved_student_scores_as_the_trained_one_and_needs_no_titles(
    data: PreparedData, reader: OutputsReader, tmp_path: Path
) -> None:
    trained = make_training(make_config(embedding_weight=3.0), data, reader).module
    assert trained.items.projection is not None
    save_student(trained, tmp_path)
    served = load_student(tmp_path)
    assert served.items.projection is None
    assert set(served.state_dict()) == {
        name for name in trained.state_dict() if "projection" not in name and name != "items.titles"
    }
    histories = torch.tensor([[3, 1, 4, 0], [7, 0, 0, 0]])
    torch.testing.assert_close(served.last_scores(histories), trained.last_scores(histories))


def test_item_vectors_may_start_at_the_titles(data: PreparedData, reader: OutputsReader) -> None:
    titles = whiten(torch.from_numpy(reader.item_embeddings.astype(np.float32)), 8) * 0.02
    start = make_distilled(make_config(embedding_weight=0.0, start="titles"), data, reader).item_vectors()
    torch.testing.assert_close(start[:, : titles.shape[1]], titles)
    other = make_distilled(make_config(embedding_weight=0.0), data, reader).item_vectors()
    assert torch.equal(start[1:, titles.shape[1] :], other[1:, titles.shape[1] :])


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_distilled_student_may_start_as_the_plain_one(
    data: PreparedData, reader: OutputsReader, plain_student: Path, weight: float
) -> None:
    histories = torch.tensor([[3, 1, 4, 0], [7, 0, 0, 0]])
    config = make_config(start="student", embedding_weight=weight)
    start = make_distilled(config, data, reader, plain_student).eval()
    torch.testing.assert_close(start.last_scores(histories), load_student(plain_student).last_scores(histories))
    if weight:
        training = make_training(config, data, reader, folder=plain_student)
        training.loss(training.collate(training.plan(0)[0])).backward()
        projection = training.module.items.projection
        assert projection is not None
        assert projection.weight.grad is not None
        assert projection.weight.grad.abs().max() > 0  # zero, but learning


def test_a_distilled_student_has_its_own_dropout_or_the_plain_students(
    data: PreparedData, reader: OutputsReader
) -> None:
    def shares(config: RunConfig) -> set[float]:
        modules = make_distilled(config, data, reader).modules()
        return {one.p for one in modules if isinstance(one, torch.nn.Dropout)}

    config = make_config()
    assert shares(config) == {config.student.dropout}
    assert shares(make_config(dropout=0.4)) == {0.4}


def test_titles_enter_the_item_vectors_with_their_weight(data: PreparedData, reader: OutputsReader) -> None:
    student = make_distilled(make_config(embedding_weight=0.3), data, reader)
    assert student.items.titles is not None
    assert student.items.titles.shape == (ITEMS + 1, 4)
    assert student.items.projection is not None
    wanted = student.items.ids + 0.3 * student.items.titles @ student.items.projection.weight.T
    torch.testing.assert_close(student.item_vectors(), wanted)
    assert make_distilled(make_config(embedding_weight=0.0), data, reader).items.projection is None


def test_ids_are_dropped_in_training_as_the_setting_says(data: PreparedData, reader: OutputsReader) -> None:
    whole, dropped = (make_training(make_config(id_dropout=share), data, reader) for share in (0.0, 0.6))
    assert torch.equal(whole.module.item_vectors(), dropped.module.item_vectors()), "first weights are the same"
    batch = whole.collate(whole.plan(0)[0])
    losses = []
    for training in (whole, dropped):
        training.module.train()
        torch.manual_seed(1)
        losses.append(float(training.loss(batch).detach()))
    assert losses[0] != losses[1]


def test_tied_item_vectors_need_no_start() -> None:
    with pytest.raises(UserError, match=r"distill.id_dropout: 1 leaves no ID embeddings for start: titles"):
        make_config(id_dropout=1.0, start="titles")
    assert make_config(id_dropout=0.9, start="titles").distill.id_dropout == 0.9


@pytest.mark.parametrize("method", ["dllm2rec", "topk_kl", "full_catalog_ce", "listwise"])
def test_the_student_learns_the_order_of_the_teachers_list(data: PreparedData, tmp_path: Path, method: str) -> None:
    """A teacher that says the same to everybody, best item first, is followed; without its loss it is not."""
    listed = np.array([31, 5, 17, 8, 22, 40])
    distributions = method in ("topk_kl", "full_catalog_ce")

    store = write_store(
        tmp_path, data.targets("train"), lambda user, position: (listed, np.array([4, 3, 2, 1, 0, -1.0]))
    )

    def margins(weight: float) -> torch.Tensor:
        training = make_training(make_config(method=method, weight=weight, embedding_weight=0.0), data, store)
        optimizer = torch.optim.Adam(training.module.parameters(), lr=0.05)
        for epoch in range(4):
            for rows in training.plan(epoch):
                optimizer.zero_grad()
                training.loss(training.collate(rows)).backward()
                optimizer.step()
        scores = training.module.last_scores(torch.tensor([[1, 2, 3], [9, 10, 11]])).detach().mean(dim=0)
        return scores[listed[:4]] - (scores[listed[0]] if distributions else scores[1:].mean())

    followed, ignored = margins(20.0), margins(0.0)
    if distributions:
        torch.testing.assert_close(followed, torch.tensor([0.0, -1.0, -2.0, -3.0]), atol=0.75, rtol=0)
        assert not torch.allclose(ignored, torch.tensor([0.0, -1.0, -2.0, -3.0]), atol=0.75, rtol=0)
    else:
        assert followed[0] > ignored[0] + 0.5
        assert followed.tolist() == sorted(followed.tolist(), reverse=True)


@pytest.fixture(scope="module")
def plain_student(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    config = make_config()
    student = make_student(config.student, ITEMS)
    with torch.no_grad():
        student.items.ids[1:] += torch.randn(ITEMS, 8)
    save_student(student, folder)
    return folder


@pytest.mark.parametrize("selection", ["student_misses", "kl_above"])
def test_the_frozen_student_is_asked_target_by_target(
    data: PreparedData, reader: OutputsReader, plain_student: Path, tmp_path: Path, selection: str
) -> None:
    config = make_config(selection=selection, kl_threshold=0.8)
    selected = selected_events(config, data, reader, plain_student, tmp_path, "cpu")
    student, targets = load_student(plain_student), data.targets("train")
    wanted = np.zeros_like(selected)
    windows = training_windows(data, 6, "all")
    with torch.no_grad():
        for user, start, end, first in zip(
            windows.users, windows.starts, windows.ends, windows.first_targets, strict=True
        ):
            for position in range(int(first), int(end) + 1):
                history = data.history(int(user), position)
                scores = student.last_scores(torch.from_numpy(history[start:].astype(np.int64))[None])[0]
                target = int(data.history(int(user), position + 1)[-1])
                if selection == "student_misses":
                    unseen = [item for item in range(1, ITEMS + 1) if item not in history]
                    chosen = sum(float(scores[item]) >= float(scores[target]) for item in unseen) > 4
                else:
                    items, teacher = (torch.from_numpy(part[:4].copy()) for part in record_of(int(user), position))
                    p, q = teacher.softmax(0), scores[items].softmax(0)
                    chosen = float((p * (p / q).log()).sum()) > 0.8
                wanted[data.offsets[user] + position] = chosen
    np.testing.assert_array_equal(selected, wanted)
    assert 0 < selected.sum() < len(targets)


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        (0.0, "kl_above is not in effect: it leaves every target in"),
        (100.0, "kl_above leaves next to no target"),
        (0.8, None),
    ],
)
def test_a_selection_that_selects_nothing_is_told(
    data: PreparedData,
    reader: OutputsReader,
    plain_student: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    threshold: float,
    told: str | None,
) -> None:
    config = make_config(selection="kl_above", kl_threshold=threshold)
    with caplog.at_level("INFO", logger="recdistill"):
        selected = selected_events(config, data, reader, plain_student, tmp_path, "cpu")
        np.testing.assert_array_equal(selected_events(config, data, reader, plain_student, tmp_path, "cpu"), selected)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{selected.sum()} of {len(data.targets('train'))} targets" in caplog.text
    assert [told is not None and told in one for one in warnings] == ([True, True] if told else [])


def test_the_choice_is_made_once(
    data: PreparedData, reader: OutputsReader, plain_student: Path, tmp_path: Path
) -> None:
    config = make_config(selection="student_misses")
    first = selected_events(config, data, reader, plain_student, tmp_path, "cpu")
    first = first.copy()  # of a file that is mapped
    again = selected_events(config, data, reader, tmp_path / "no student here", tmp_path, "cpu")
    np.testing.assert_array_equal(first, again)
    path = tmp_path / "selected.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # a choice that is damaged is made again
    np.testing.assert_array_equal(selected_events(config, data, reader, plain_student, tmp_path, "cpu"), first)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("settings", [{}, {"selection": "student_misses", "weight": 0.0}])
def test_all_asks_no_student_and_neither_does_a_list_without_weight(
    data: PreparedData, reader: OutputsReader, tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert selected_events(make_config(**settings), data, reader, tmp_path / "none", tmp_path, "cpu").all()
    assert not list(tmp_path.iterdir())


SAMPLED = LossConfig(name="sampled_softmax", negatives=3, shared=True, in_batch=True, log_q=True, lazy_adam=True)


@pytest.mark.parametrize("method", ["topk_kl", "listwise"])
def test_a_sampled_loss_makes_the_vectors_of_the_items_it_needs_alone(
    data: PreparedData, reader: OutputsReader, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradients are those of the whole catalog's vectors, titles and all."""
    found = []
    for part in (True, False):
        training = make_training(make_config(method=method, loss=SAMPLED), data, reader)
        if not part:
            monkeypatch.setattr(training.plain, "items_in_use", lambda *_: training.module.whole_catalog())  # noqa: B023
        torch.manual_seed(5)
        loss = training.loss(training.collate(training.plan(0)[0]))
        loss.backward()
        ids = training.module.items.ids.grad
        assert ids is not None
        assert ids.is_sparse == part
        gradients = [one.grad for one in training.module.parameters() if one.grad is not None]
        found.append([loss.detach(), *(one.to_dense() if one.is_sparse else one for one in gradients)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "settings", [{"method": "full_catalog_ce"}, {"method": "dllm2rec"}, {"dro_weight": 0.1}, {"method": "topk_kl"}]
)
def test_lists_over_the_whole_catalog_move_all_items(
    data: PreparedData, reader: OutputsReader, settings: dict[str, Any]
) -> None:
    whole = settings != {"method": "topk_kl"}
    if whole:
        with pytest.raises(UserError, match=r"distill\.loss\.lazy_adam: dllm2rec with consistency_weight"):
            make_config(loss=SAMPLED, **settings)
    training = make_training(make_config(loss=replace(SAMPLED, lazy_adam=False), **settings), data, reader)
    assert training.config.reads_whole_catalog == whole
    training.loss(training.collate(training.plan(0)[0])).backward()
