"""Batches of a few blocks of rows after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.config import TeacherConfig, TrainConfig
from recdistill.data.batches import micro_batches
from recdistill.data.block_shuffle import BLOCKS_AT_A_TIME, Rows, by_blocks
from recdistill.teacher.padding import training_batches


def plan(lengths: np.ndarray, block: int | None, seed: int, size: int = 3, tokens: int | None = None) -> list[Rows]:
    generator = np.random.default_rng(seed)
    return by_blocks(lengths, block, generator, lambda some: micro_batches(some, size, tokens, generator))


@given(
    st.lists(st.integers(1, 20), max_size=80),
    st.integers(1, 30),
    st.integers(1, 9),
    st.none() | st.integers(20, 60),
    st.integers(0, 5),
)
def test_every_row_comes_once_and_the_seed_gives_the_order(
    lengths: list[int], block: int, size: int, tokens: int | None, seed: int
) -> None:
    rows = np.array(lengths, dtype=np.int64)
    batches = plan(rows, block, seed, size, tokens)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert [batch.tolist() for batch in plan(rows, block, seed, size, tokens)] == [batch.tolist() for batch in batches]
    limit = [len(batch) <= size if tokens is None else rows[batch].max() * len(batch) <= tokens for batch in batches]
    assert all(limit)


def test_rows_that_are_read_together_lie_in_few_blocks() -> None:
    """And blocks are read once: what was read is not come back to."""
    rows, block = 4_000, 50
    batches = plan(np.ones(rows, dtype=np.int64), block, 1, size=4)
    per_turn = block * BLOCKS_AT_A_TIME // 4
    turns = [np.concatenate(batches[start : start + per_turn]) for start in range(0, len(batches), per_turn)]
    blocks = [set((turn // block).tolist()) for turn in turns]
    assert [len(each) for each in blocks] == [BLOCKS_AT_A_TIME] * (rows // block // BLOCKS_AT_A_TIME)
    assert sum(map(len, blocks)) == rows // block
    assert len(set((batches[0] // block).tolist())) > 1, "a batch has rows of several blocks"
    first = [int(turn.min()) for turn in turns]
    assert first != sorted(first), "blocks come in random order"


def test_a_block_as_large_as_all_shuffles_all() -> None:
    lengths = np.arange(1, 50)
    one, all_rows = plan(lengths, 1_000, 2), plan(lengths, None, 2)
    assert sorted(map(len, one)) == sorted(map(len, all_rows))
    assert [batch.tolist() for batch in one] != [batch.tolist() for batch in plan(lengths, 1_000, 3)]


@pytest.mark.parametrize("padding", ["fixed", "longest", "bucketed", "packed"])
@pytest.mark.parametrize("tokens", [None, 64])
def test_a_teacher_is_shuffled_by_blocks_too(padding: str, tokens: int | None) -> None:
    train = TrainConfig(batch_size=4, batch_tokens=tokens, shuffle_block=5)
    config = TeacherConfig(padding=padding, train=train)  # type: ignore[arg-type]
    lengths = np.arange(1, 101) % 9 + 1
    batches = training_batches(config, lengths, 9, np.random.default_rng(0))
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(100))
    first = order[: 5 * BLOCKS_AT_A_TIME]
    assert len(set((first // 5).tolist())) == BLOCKS_AT_A_TIME
