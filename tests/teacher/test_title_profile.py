"""The faded mean of a history's titles."""

import torch

from recdistill.teacher.title_profile import decayed_mean


def test_the_latest_weighs_most_and_later_items_nothing() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    found = decayed_mean(vectors, torch.tensor([[1, 2, 3], [2, 0, 0]]), 0.5)
    # Weights 1; 1/3 and 2/3; 1/7, 2/7 and 4/7.
    torch.testing.assert_close(found[0], torch.tensor([[1.0, 0.0], [1 / 3, 2 / 3], [9 / 7, 10 / 7]]))
    torch.testing.assert_close(found[1, 0], vectors[2])


def test_without_fading_it_is_the_plain_mean() -> None:
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    items = torch.tensor([[4, 2, 5, 1]])
    torch.testing.assert_close(decayed_mean(vectors, items, 1.0)[0, 3], vectors[items[0]].mean(dim=0))
