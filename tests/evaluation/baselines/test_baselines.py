"""What holds for every baseline, and each against dense matrices that know nothing of its code."""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recdistill.config import BASELINES, BaselineName, EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.evaluation.baselines import BUILDERS, baseline_scorers, recent, too_large
from recdistill.evaluation.baselines.baseline import Baseline
from recdistill.evaluation.baselines.recent import LATEST, TIE_BREAK
from recdistill.evaluation.metrics import FloatArray

CONFIG = EvaluateConfig()
ITEMS = 30


@pytest.fixture(scope="module")
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    """Forty users who walk around a ring of items, some with one event to learn from."""
    rng = np.random.default_rng(3)
    walks = [rng.integers(ITEMS) + np.cumsum(rng.integers(1, 4, size=rng.integers(3, 15))) for _ in range(40)]
    return make_data(*[(walk % ITEMS + 1).tolist() for walk in walks], num_items=ITEMS + 2)


def test_the_table_holds_every_name_of_the_setting() -> None:
    assert tuple(BUILDERS) == BASELINES == CONFIG.baselines


def with_other_items(data: PreparedData, positions_from: IntArray) -> PreparedData:
    """The same with other events from these positions of each user's history on."""
    items = data.items.copy()
    for user, first in enumerate(positions_from):
        items[data.offsets[user] + first : data.offsets[user + 1]] = ITEMS + 1
    return replace(data, items=items)


@pytest.mark.parametrize("name", BASELINES)
def test_validation_and_test_events_are_not_counted(
    data: PreparedData, name: BaselineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "LATEST", (None,))  # what validation may choose is the length alone
    histories = np.arange(data.num_users, dtype=np.int32), np.maximum(data.train_ends, 1)
    scores = BUILDERS[name](data, CONFIG).score(*histories)
    other = with_other_items(data, np.maximum(data.train_ends, 1))
    assert BUILDERS[name](other, CONFIG).score(*histories).equal(scores)
    assert not BUILDERS[name](with_other_items(data, data.train_ends - 1), CONFIG).score(*histories).equal(scores)


@pytest.mark.parametrize("name", BASELINES)
def test_test_events_choose_nothing_and_targets_are_not_read(data: PreparedData, name: BaselineName) -> None:
    histories = np.arange(data.num_users, dtype=np.int32), data.validation_ends
    one, two = (BUILDERS[name](each, CONFIG) for each in (data, with_other_items(data, data.validation_ends)))
    assert one.settings == two.settings
    assert one.score(*histories).equal(two.score(*histories))


@pytest.mark.parametrize("name", BASELINES)
def test_users_who_are_not_trained_on_are_counted_nowhere(
    data: PreparedData, name: BaselineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "LATEST", (None,))
    trained = np.arange(data.num_users) % 2 == 0
    some = replace(data, trained_users=trained)
    nothing_to_train = replace(data, train_ends=np.where(trained, data.train_ends, 0).astype(np.int32))
    users, positions = np.arange(10, dtype=np.int32), np.ones(10, dtype=np.int32)
    one, two = (BUILDERS[name](each, CONFIG).score(users, positions) for each in (some, nothing_to_train))
    assert one.equal(two)
    assert not one.equal(BUILDERS[name](data, CONFIG).score(users, positions))


@pytest.mark.parametrize("name", BASELINES)
def test_scores_have_the_protocols_form_and_do_not_depend_on_the_batch(data: PreparedData, name: BaselineName) -> None:
    scorer, targets = BUILDERS[name](data, CONFIG), data.targets("test")
    assert isinstance(scorer, Baseline)
    together = scorer.score(targets.users, targets.positions)
    assert together.shape == (len(targets), data.num_items + 1)
    assert str(together.dtype) == "torch.float64"
    assert bool(together.isfinite().all())
    assert together[:, 0].abs().max() == 0
    alone = [scorer.score(targets.users[row : row + 1], targets.positions[row : row + 1])[0] for row in range(5)]
    assert all(together[row].equal(one) for row, one in enumerate(alone))


def dense_matrix(data: PreparedData, name: BaselineName) -> FloatArray:
    """Item-to-item weights (N + 1, N + 1) by dense numpy in float64."""
    x = np.zeros((data.num_users, data.num_items + 1))
    for user in range(data.num_users):
        x[user, data.history(user, int(data.train_ends[user]))] = 1
    gram = x.T @ x
    if name == "ease":
        inverse = np.linalg.inv(gram[1:, 1:] + 500.0 * np.eye(data.num_items))
        weights = np.zeros_like(gram)
        weights[1:, 1:] = np.eye(data.num_items) - inverse / np.diag(inverse)
        return weights
    norms = np.linalg.norm(x, axis=0)
    weights = gram / (np.outer(norms, norms) + 10.0)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("name", ["item_knn", "ease"])
def test_parity_with_dense_matrices(data: PreparedData, name: BaselineName) -> None:
    scorer, targets = BUILDERS[name](data, CONFIG), data.targets("test")
    weights, latest = dense_matrix(data, name), scorer.settings["latest_events"]
    scores = scorer.score(targets.users, targets.positions).numpy()
    for row, (user, position) in enumerate(zip(targets.users, targets.positions, strict=True)):
        history = data.history(int(user), int(position))
        chosen = np.unique(history if latest is None else history[-int(latest) :])
        assert scores[row] == pytest.approx(weights[chosen].sum(axis=0), abs=1e-7)


@pytest.mark.parametrize("name", ["item_knn", "ease"])
def test_validation_chooses_how_much_of_the_history_counts(
    make_data: Callable[..., PreparedData], name: BaselineName
) -> None:
    """Users go from 1 2 3 to 10 + n, n their last item: only the end of a history tells what comes next."""
    walks = [[*range(1, 9), last, last + 4, last + 4, last + 4] for last in (10, 11, 12, 13)] * 6
    scorer = BUILDERS[name](make_data(*walks, num_items=20), EvaluateConfig(filter_seen=False))
    assert scorer.settings["latest_events"] in (3, 5)
    short = make_data(*[[1, 2, 3, 4]] * 5, num_items=4)  # histories of at most two: the choice changes nothing
    assert BUILDERS[name](short, CONFIG).settings["latest_events"] is LATEST[0] is None


@pytest.mark.parametrize("name", ["item_knn", "ease"])
def test_without_validation_targets_the_whole_history_counts(data: PreparedData, name: BaselineName) -> None:
    none = replace(data, validation_ends=data.train_ends)
    assert BUILDERS[name](none, CONFIG).settings["latest_events"] is None


@pytest.mark.parametrize("name", ["item_knn", "ease"])
def test_popularity_orders_scores_that_are_equal_and_no_others(data: PreparedData, name: BaselineName) -> None:
    assert 0 < TIE_BREAK < 1e-8
    nowhere = BUILDERS[name](data, CONFIG).score(np.array([0]), np.array([1]))[0, -2:]
    assert nowhere.tolist() == [0, 0]  # not in train: without weights and without popularity


def test_the_setting_chooses_the_baselines_in_the_tables_order(data: PreparedData) -> None:
    assert list(baseline_scorers(data, EvaluateConfig(baselines=("ease", "popularity")))) == ["popularity", "ease"]
    assert not baseline_scorers(data, EvaluateConfig(baselines=()))


def test_ease_is_left_out_of_large_catalogs_and_that_is_told(
    data: PreparedData, caplog: pytest.LogCaptureFixture
) -> None:
    at_the_limit = EvaluateConfig(ease_items=data.num_items)
    assert list(baseline_scorers(data, at_the_limit)) == list(BASELINES)
    assert not caplog.records
    below = EvaluateConfig(ease_items=data.num_items - 1)
    with caplog.at_level(logging.WARNING, "recdistill"):
        assert list(baseline_scorers(data, below)) == [name for name in BASELINES if name != "ease"]
    assert "ease is left out, since the catalog's 32 items are more than evaluate.ease_items (31)" in caplog.text
    assert too_large(data, below) == {"ease": {"items": 32, "most": 31}}
    assert not too_large(data, replace(below, baselines=("popularity",)))
