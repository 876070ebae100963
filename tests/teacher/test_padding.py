from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.config import Padding, TeacherConfig, TrainConfig
from recdistill.data.batches import packed_batches
from recdistill.errors import UserError
from recdistill.teacher.padding import Shapes, bucket_widths, training_batches
from there import there

LENGTHS = np.random.default_rng(0).integers(3, 60, 200).astype(np.int64)


def config(padding: Padding, batch_tokens: int | None = None, **more: Any) -> TeacherConfig:
    train = TrainConfig(batch_size=16, batch_tokens=batch_tokens)
    return TeacherConfig(padding=padding, train=train, **more)


def batches(padding: Padding, batch_tokens: int | None = None) -> Any:
    return training_batches(config(padding, batch_tokens), LENGTHS, int(LENGTHS.max()), np.random.default_rng(1))


@pytest.mark.parametrize("padding", ["fixed", "longest", "bucketed", "packed"])
@pytest.mark.parametrize("tokens", [None, 300])
def test_every_prompt_is_in_one_batch(padding: Padding, tokens: int | None) -> None:
    found = batches(padding, tokens)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(LENGTHS)))
    again = batches(padding, tokens)
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
    sizes = [len(rows) for rows in found]
    if tokens is None:
        assert max(sizes) == 16
    elif padding == "packed":
        assert max(LENGTHS[rows].sum() for rows in found) <= 300
    else:
        width = LENGTHS.max() if padding == "fixed" else None
        assert max(len(rows) * (width or LENGTHS[rows].max()) for rows in found) <= 300


def padded(padding: Padding, tokens: int | None = None) -> float:
    found = batches(padding, tokens)
    shapes = Shapes(config(padding, tokens), LENGTHS)
    processed = 0
    for rows in found:
        width = shapes.of(LENGTHS[rows], None).width or int(LENGTHS[rows].max())
        processed += int(LENGTHS[rows].sum()) if padding == "packed" else width * len(rows)
    return float(1 - LENGTHS.sum() / processed)


def test_each_way_pads_less_than_the_one_before() -> None:
    shares = [padded(padding) for padding in ("fixed", "longest", "bucketed", "packed")]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.4
    assert shares[2] < 0.1
    assert shares[3] == 0


def test_packed_batches_are_full() -> None:
    found = packed_batches(LENGTHS, 500, np.random.default_rng(0))
    filled = sorted(int(LENGTHS[rows].sum()) for rows in found)[1:]  # one may be what is left over
    assert sum(filled) / (500 * len(filled)) > 0.99


def test_a_prompt_longer_than_the_limit_is_a_batch_of_its_own() -> None:
    found = packed_batches(np.array([5, 50, 5]), 10, np.random.default_rng(0))
    assert sorted(sorted(rows.tolist()) for rows in found) == [[0, 2], [1]]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 5))
def test_bucket_widths_pad_least(lengths: list[int], count: int) -> None:
    array = np.array(lengths)
    widths = bucket_widths(array, count)
    assert widths == sorted(set(widths))
    assert len(widths) <= count
    assert widths[-1] == array.max()

    def cost(chosen: list[int]) -> int:
        return sum(min(width for width in chosen if width >= length) for length in lengths)

    # No widths at even quantiles, nor fewer of our own, do better.
    other = sorted({int(np.quantile(array, part, method="higher")) for part in np.linspace(0, 1, count + 1)[1:]})
    assert cost(widths) <= cost(other)


def test_bucket_widths_by_hand() -> None:
    assert bucket_widths(np.array([1, 1, 1, 10]), 2) == [1, 10]
    assert bucket_widths(np.array([4, 5, 9, 10]), 2) == [5, 10]


def test_compiled_batches_have_few_shapes() -> None:
    for tokens in (None, 300):
        settings = config("bucketed", tokens, compile=True, compile_buckets=3)
        shapes = Shapes(settings, LENGTHS)
        rounded = shapes.rounded(LENGTHS)
        plan = training_batches(settings, rounded, int(LENGTHS.max()), np.random.default_rng(0))
        found = {shapes.of(LENGTHS[rows], 16 if tokens is None else None) for rows in plan}
        assert len(found) <= 3
        assert all(there(shape.rows) * there(shape.width) <= 300 for shape in found if tokens)
    packed = Shapes(config("packed", 300, compile=True), LENGTHS)
    assert {packed.of(LENGTHS[rows], None).width for rows in batches("packed", 300)} == {300}


def test_shapes_that_cannot_be_compiled_are_refused() -> None:
    with pytest.raises(UserError, match=r"teacher\.compile: padding: longest makes a new shape"):
        config("longest", compile=True)
    with pytest.raises(UserError, match=r"teacher\.compile: .* set train\.batch_tokens"):
        config("packed", compile=True)
    with pytest.raises(UserError, match=r"teacher\.train\.batch_tokens: 0 is out of range"):
        replace(config("packed"), train=TrainConfig(batch_tokens=0))
