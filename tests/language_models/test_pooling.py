"""Each pooling by a formula of its own, over the real tokens alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from recdistill.language_models.pooling import POOLINGS, pool

BY_HAND: dict[str, Callable[[Tensor], Any]] = {
    "cls": lambda states: states[0],
    "max": lambda states: torch.stack([column.max() for column in states.T]),
    "mean": lambda states: sum(states) / len(states),
    "mean_sqrt_len_tokens": lambda states: sum(states) / len(states) ** 0.5,
    "weightedmean": lambda states: (
        sum((place + 1) * state for place, state in enumerate(states)) / sum(place + 1 for place in range(len(states)))
    ),
    "lasttoken": lambda states: states[-1],
}
LENGTHS = [3, 1, 5]


@pytest.fixture
def hidden() -> Tensor:
    """(3, 5, 4), all below zero, so that a padding's zero would win each maximum."""
    return -1 - torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> Tensor:
    return (torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)).long()


def test_every_pooling_is_checked() -> None:
    assert set(BY_HAND) == set(POOLINGS)


@pytest.mark.parametrize("mode", POOLINGS)
def test_by_hand(mode: str, hidden: Tensor, mask: Tensor) -> None:
    expected = torch.stack([BY_HAND[mode](states[:length]) for states, length in zip(hidden, LENGTHS, strict=True)])
    torch.testing.assert_close(pool((mode,), hidden, mask), expected)


@pytest.mark.parametrize("mode", POOLINGS)
def test_what_stands_in_the_padding_does_not_matter(mode: str, hidden: Tensor, mask: Tensor) -> None:
    other = torch.where(mask.unsqueeze(-1) == 1, hidden, torch.tensor(7.0))
    assert torch.equal(pool((mode,), hidden, mask), pool((mode,), other, mask))


def test_a_prompt_left_out_keeps_the_places_of_the_rest(hidden: Tensor) -> None:
    mask = torch.tensor([[0, 0, 1, 1, 0]]).expand(3, -1)
    torch.testing.assert_close(pool(("cls",), hidden, mask), hidden[:, 2])
    torch.testing.assert_close(pool(("weightedmean",), hidden, mask), (3 * hidden[:, 2] + 4 * hidden[:, 3]) / 7)


def test_several_stand_side_by_side_in_the_order_asked_for(hidden: Tensor, mask: Tensor) -> None:
    parts = [pool((mode,), hidden, mask) for mode in ("max", "cls")]
    assert torch.equal(pool(("max", "cls"), hidden, mask), torch.cat(parts, dim=1))
