import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.bench.rows import MATRIX, ended, matrix, results, row
from recdistill.experiments.bench.matrix import Matrix
from recdistill.experiments.bench.results import Results
from recdistill.experiments.bench.statistics import (
    LEAST_FLOOR,
    chance_of_false_difference,
    compare,
    factorial,
    judge,
    memory,
    noise_floor,
    not_in_effect,
    not_judged,
    payback,
    quality_difference,
    seconds,
    without_own_floor,
)

TURNS = (1, 2, 3)
with TemporaryDirectory() as _folder:
    MADE = matrix(Path(_folder))


@pytest.fixture
def made(tmp_path: Path) -> Matrix:
    return matrix(tmp_path)


def timed(made: Matrix, **cells: tuple[float, float, float]) -> Results:
    """Training seconds of some cells, turn by turn."""
    names = {name.replace("_", "-"): times for name, times in cells.items()}
    return results(
        made, *(row(made, cell, turn, train=times[turn - 1]) for cell, times in names.items() for turn in TURNS)
    )


def test_the_floor_is_the_largest_ratio_between_equal_cells(made: Matrix) -> None:
    found = timed(made, base=(10, 10, 10), base_again=(10.2, 9.5, 10.1))
    assert noise_floor(found, "train_seconds") == pytest.approx(math.log(10 / 9.5))
    assert noise_floor(found, "export_seconds") == LEAST_FLOOR
    assert noise_floor(timed(made, base=(10, 10, 10)), "train_seconds") is None


def test_a_difference_lies_outside_the_floor_in_every_turn(made: Matrix) -> None:
    same = {"base": (10.0, 10.0, 10.0), "base_again": (10.2, 9.8, 10.0)}
    clear = compare(timed(made, **same, bf16=(39.0, 40.0, 41.0)), "bf16", "base", "train_seconds")
    assert clear is not None
    assert (clear.decision, clear.turns) == ("difference", 3)
    assert (clear.ratio, clear.low, clear.high) == pytest.approx((4.0, 3.9, 4.1))
    for near in ((10.1, 9.9, 10.0), (40.0, 40.0, 10.1), (12.0, 8.0, 12.0)):
        found = compare(timed(made, **same, bf16=near), "bf16", "base", "train_seconds")
        assert found is not None
        assert found.decision == "noise"


def test_comparing_goes_turn_by_turn(made: Matrix) -> None:
    """The machine slows down threefold over the experiment; the ratio of each turn does not notice."""
    found = compare(
        timed(made, base=(10, 20, 30), base_again=(10, 20, 30), bf16=(20, 40, 60)), "bf16", "base", "train_seconds"
    )
    assert found is not None
    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2, 2))


THREE = st.lists(st.floats(0.5, 2), min_size=3, max_size=3)


@settings(deadline=None)
@given(THREE, THREE, THREE, st.floats(0.01, 100), st.sampled_from(("train_seconds", "train_memory", "export_seconds")))
def test_a_cell_differs_where_each_turn_moves_it_by_more_than_any_moved_the_pair(
    base: list[float], again: list[float], copy: list[float], factor: float, metric: str
) -> None:
    cells = {"base": base, "base-again": again, "bf16": [value * factor for value in copy]}
    rows = [
        row(MADE, cell, turn, train=values[turn - 1], gib=values[turn - 1], export=values[turn - 1])
        for cell, values in cells.items()
        for turn in TURNS
    ]
    found = compare(results(MADE, *rows), "bf16", "base", metric)
    assert found is not None
    shaken = max(math.exp(LEAST_FLOOR), *(max(a / b, b / a) for a, b in zip(base, again, strict=True)))
    moved = [ours / theirs for ours, theirs in zip(cells["bf16"], base, strict=True)]
    near = any(abs(math.log(ratio * shaken**side)) < 1e-9 for ratio in moved for side in (1, -1))
    differs = all(ratio > shaken for ratio in moved) or all(ratio < 1 / shaken for ratio in moved)
    assert near or (found.decision == "difference") == differs


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.3))
def test_a_third_equal_cell_is_hardly_ever_called_different(seed: int, noise: float) -> None:
    """Judged by a floor from three turns of another pair, copies drawn from the same noise differ rarely."""
    draws = np.random.default_rng(seed).normal(scale=noise, size=(400, 3, 3))
    called = sum(
        judge(list(copy - base), max(LEAST_FLOOR, float(np.abs(again - base).max()))) == "difference"
        for base, again, copy in draws
    )
    assert called / len(draws) < 0.04


def test_the_chance_of_a_false_difference_by_turns() -> None:
    assert chance_of_false_difference(3) == pytest.approx(0.010, abs=0.002)
    assert chance_of_false_difference(4) == pytest.approx(0.001, abs=0.0005)


def test_work_without_a_pair_of_its_own_is_named(tmp_path: Path) -> None:
    assert without_own_floor(matrix(tmp_path)) == []
    text = MATRIX.replace("compiled: {", "more: {rows: 99}\n  less: {rows: 0}\n  compiled: {")
    text += "  - {name: sizes, cells: [more, less]}\n  - {name: other, cells: [compiled], against: bf16}\n"
    assert without_own_floor(matrix(tmp_path, text)) == ["more", "bf16"]


def test_a_setting_without_evidence_in_one_turn_is_not_in_effect(made: Matrix) -> None:
    rows = [row(made, "bf16", turn, in_effect=turn != 2) for turn in TURNS]
    assert not_in_effect(results(made, *rows), "bf16") == ["teacher.precision"]
    assert not_in_effect(results(made, *rows[:1]), "bf16") == []


def test_a_setting_that_nothing_looks_for_is_not_judged_and_spoils_nothing(made: Matrix) -> None:
    pair = [row(made, cell, turn) for cell in ("base", "base-again") for turn in TURNS]
    found = results(made, *pair, *(row(made, "bf16", turn, train=40.0, in_effect=None) for turn in TURNS))
    assert not_in_effect(found, "bf16") == []
    assert not_judged(found, "bf16") == ["teacher.precision"]
    told = compare(found, "bf16", "base", "train_seconds")
    assert told is not None
    assert told.decision == "difference"


def test_nothing_follows_from_a_cell_or_a_reference_that_was_not_in_effect(made: Matrix) -> None:
    users = [0.1, 0.5, 0.0]
    pair = [row(made, cell, turn, per_user=users) for cell in ("base", "base-again") for turn in TURNS]
    for good, bad in (("compiled", "saved"), ("saved", "compiled")):
        rows = [
            row(made, cell, turn, train=5.0, compile_seconds=50.0, in_effect=cell == good, per_user=users)
            for cell in (good, bad)
            for turn in TURNS
        ]
        found = results(made, *pair, *rows)
        for cell, against in ((good, bad), (bad, good), (bad, "base")):
            assert compare(found, cell, against, "train_seconds") is None
            assert payback(found, cell, against) is None
            assert quality_difference(found, cell, against) is None
        assert compare(found, good, "base", "train_seconds") is not None
        assert payback(found, good, "base") is not None
        assert quality_difference(found, good, "base") is not None


def test_the_factors_of_a_two_by_two_are_told_apart(made: Matrix) -> None:
    peaks = {"base": 50.0, "base-again": 50.0, "nf4": 41.0, "saved": 15.0, "nf4-saved": 7.0}
    rows = [row(made, cell, turn, gib=gib) for cell, gib in peaks.items() for turn in TURNS]
    found = factorial(results(made, *rows), ("base", "nf4", "saved", "nf4-saved"), "train_memory")
    assert found is not None
    assert (found.first.spread.median, found.second.spread.median) == pytest.approx((-8.5, -34.5))
    assert found.interaction.spread.median == pytest.approx(1.0)
    assert (found.first.decision, found.interaction.decision) == ("difference", "noise")
    assert factorial(results(made, *rows[:-3]), ("base", "nf4", "saved", "nf4-saved"), "train_memory") is None


def test_compiling_pays_back_where_its_seconds_are_saved(made: Matrix) -> None:
    pair = [row(made, cell, turn, train=16.0) for cell in ("base", "base-again") for turn in TURNS]
    fast = [row(made, "compiled", turn, train=8.0, compile_seconds=50.0) for turn in TURNS]
    found = payback(results(made, *pair, *fast), "compiled", "base")
    assert found is not None
    assert (found.compile_seconds, found.saved_per_step, found.steps) == pytest.approx((50.0, 1.0, 50.0))
    slow = [row(made, "compiled", turn, train=16.0, compile_seconds=50.0) for turn in TURNS]
    never = payback(results(made, *pair, *slow), "compiled", "base")
    assert never is not None
    assert never.steps is None


def test_quality_differs_where_the_interval_leaves_zero_out(made: Matrix) -> None:
    users = list(np.linspace(0, 1, 40))
    better, mixed = [value + 0.1 for value in users], [*users[1:], users[0]]
    rows = [row(made, "base", 1, per_user=users), row(made, "bf16", 1, per_user=better)]
    found = quality_difference(results(made, *rows), "bf16", "base")
    assert found is not None
    assert found.clear
    assert (found.difference, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    rows[1] = row(made, "bf16", 1, per_user=mixed)
    level = quality_difference(results(made, *rows), "bf16", "base")
    assert level is not None
    assert not level.clear
    assert quality_difference(results(made, rows[0]), "bf16", "base") is None


def test_what_was_not_measured_is_none(made: Matrix) -> None:
    one = row(made, "base", 1)
    assert seconds("compile")(one) is None
    assert memory("compile")(one) is None
    one["memory"]["train step"]["peak_allocated_gib"] = 1.5
    assert memory("train step")(one) == 1.5
    failed = results(made, ended(made, "bf16", 1, "failed", "boom"))
    assert compare(failed, "bf16", "base", "train_seconds") is None
