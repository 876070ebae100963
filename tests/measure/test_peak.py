import itertools

import pytest
import torch

from recdistill.measure import peak as module
from recdistill.measure.peak import matmul_peak


def test_the_fastest_group_of_products_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of 1, 1, 2, 4 products warm up and find the size; then groups of 4 until half a second is over."""
    sizes, answers = [], itertools.chain([9.0, 0.002, 0.004, 0.1, 0.2, 0.05], itertools.repeat(0.2))

    def seconds(left: torch.Tensor, right: torch.Tensor, products: int) -> float:
        sizes.append(products)
        return next(answers)

    monkeypatch.setattr(module, "_seconds", seconds)
    assert matmul_peak(torch.float32, "cpu", [(3, 5, 7)], seconds=0.5) == pytest.approx(2 * 3 * 5 * 7 * 4 / 0.05)
    assert sizes == [1, 1, 2, 4, 4, 4, 4]


def test_the_best_shape_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_fastest", lambda dtype, device, shape, seconds: float(shape[0]))
    assert matmul_peak(torch.float32, "cpu", [(2, 1, 1), (8, 1, 1), (4, 1, 1)]) == 8.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_floating_type_is_measured(dtype: torch.dtype) -> None:
    assert 1e6 < matmul_peak(dtype, "cpu", [(64, 32, 16)], seconds=0.0) < 1e15


@pytest.mark.parametrize("shapes", [[], [(0, 4, 4)]])
def test_no_or_empty_products_are_refused(shapes: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ValueError, match="shapes"):
        matmul_peak(torch.float32, "cpu", shapes)
