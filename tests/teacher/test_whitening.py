import pytest
import torch

from recdistill.teacher.whitening import Whitening, have_titles, whiten


def test_whitened_columns_are_uncorrelated_and_of_unit_variance() -> None:
    embeddings = torch.randn(51, 8, generator=torch.Generator().manual_seed(0)) @ torch.rand(8, 8)
    white = whiten(embeddings, 5)
    assert white.shape == (51, 5)
    assert not white[0].any()
    torch.testing.assert_close(white[1:].T @ white[1:] / 50, torch.eye(5), rtol=1e-4, atol=1e-4)


def test_fewer_items_than_dimensions_and_equal_titles_stay_finite() -> None:
    assert whiten(torch.randn(4, 8), 128).shape == (4, 1)
    assert whiten(torch.randn(50, 40), 128).shape == (50, 8)
    assert torch.isfinite(whiten(torch.ones(6, 8) * 0.1, 4)).all()
    assert torch.isfinite(whiten(torch.randn(2, 8), 4)).all()


@pytest.mark.parametrize("titles", [48, 120, 160])
def test_titles_of_a_small_catalog_are_alike_within_their_group(titles: int) -> None:
    """With an axis for each title all cosines would be the same."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(titles) % 6
    embeddings = torch.randn(6, 384, generator=generator)[groups] + 0.5 * torch.randn(titles, 384, generator=generator)
    white = torch.nn.functional.normalize(whiten(torch.cat([torch.zeros(1, 384), embeddings]), 128)[1:])
    cosines, same = white @ white.T, groups[:, None] == groups
    within, across = cosines[same & ~torch.eye(titles, dtype=torch.bool)], cosines[~same]
    assert within.mean() > across.mean() + 0.2


def test_a_title_is_whitened_alike_in_the_catalog_and_behind_it() -> None:
    embeddings = torch.randn(31, 8, generator=torch.Generator().manual_seed(1)) @ torch.rand(8, 8) + 3
    whitening = Whitening.fit(embeddings[1:], 5)
    assert torch.equal(whitening(embeddings[1:]).float(), whiten(embeddings, 5)[1:])
    new = torch.randn(4, 8)
    torch.testing.assert_close((new.double() - whitening.mean) @ whitening.matrix, whitening(new))


def test_items_without_a_title_stand_at_the_mean_of_the_others_and_do_not_move_it() -> None:
    embeddings = torch.randn(31, 8, generator=torch.Generator().manual_seed(2)) + 3
    embeddings[[0, 4, 9]] = 0
    white, titled = whiten(embeddings, 5), have_titles(embeddings)
    assert titled.sum() == 28
    assert not white[~titled].any()
    torch.testing.assert_close(white[titled].mean(dim=0), torch.zeros(4), rtol=0, atol=1e-5)
    alone = torch.cat([torch.zeros(1, 8), embeddings[titled]])
    torch.testing.assert_close(white[titled], whiten(alone, 5)[1:])


def test_without_any_title_all_vectors_are_zero() -> None:
    assert torch.equal(whiten(torch.zeros(4, 8), 5), torch.zeros(4, 1))
