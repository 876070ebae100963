import torch

from recdistill.teacher.whitening import Whitening, whiten


def test_whitened_columns_are_uncorrelated_and_of_unit_variance():
    embeddings = torch.randn(51, 8, generator=torch.Generator().manual_seed(0)) @ torch.rand(8, 8)
    white = whiten(embeddings, 5)
    assert white.shape == (51, 5)
    assert not white[0].any()
    torch.testing.assert_close(white[1:].T @ white[1:] / 50, torch.eye(5), rtol=1e-4, atol=1e-4)


def test_fewer_items_than_dimensions_and_equal_titles_stay_finite():
    assert whiten(torch.randn(4, 8), 128).shape == (4, 2)
    assert torch.isfinite(whiten(torch.ones(6, 8) * 0.1, 4)).all()
    assert torch.isfinite(whiten(torch.randn(2, 8), 4)).all()


def test_a_title_is_whitened_alike_in_the_catalog_and_behind_it() -> None:
    embeddings = torch.randn(31, 8, generator=torch.Generator().manual_seed(1)) @ torch.rand(8, 8) + 3
    whitening = Whitening.fit(embeddings[1:], 5)
    assert torch.equal(whitening(embeddings[1:]).float(), whiten(embeddings, 5)[1:])
    new = torch.randn(4, 8)
    torch.testing.assert_close((new.double() - whitening.mean) @ whitening.matrix, whitening(new))
