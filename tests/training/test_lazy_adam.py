from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from recdistill.training.lazy_adam import LazyAdamW
from recdistill.training.optimisation import _clip


def table(rows: int = 6) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, 3, generator=torch.Generator().manual_seed(0)))


def sparse(rows: list[int], values: Tensor, size: int = 6) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (size, 3), check_invariants=True)


def test_dense_gradients_are_adamws_to_the_bit() -> None:
    moved = []
    for kind in (LazyAdamW, torch.optim.AdamW):
        parameter = table()
        optimizer = kind([parameter], lr=0.1, betas=(0.9, 0.98), weight_decay=0.1, fused=True)
        for step in range(3):
            parameter.grad = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
            optimizer.step()
        moved.append(parameter.detach())
    assert torch.equal(*moved)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_gradient_of_all_rows_moves_them_as_adamw_does(decay: float) -> None:
    one, other = table(), table()
    lazy = LazyAdamW([one], lr=0.1, betas=(0.9, 0.98), weight_decay=decay, fused=True)
    adamw = torch.optim.AdamW([other], lr=0.1, betas=(0.9, 0.98), weight_decay=decay)
    for step in range(4):
        values = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        one.grad, other.grad = sparse(list(range(6)), values), values.clone()
        lazy.step()
        adamw.step()
        torch.testing.assert_close(one, other)


def test_only_rows_of_the_gradient_move_and_their_means_wait_for_them() -> None:
    parameter = table()
    before = parameter.detach().clone()
    optimizer = LazyAdamW([parameter], lr=0.1, fused=True)
    parameter.grad = sparse([1, 4, 1], torch.ones(3, 3))
    optimizer.step()
    assert (parameter[[0, 2, 3, 5]] == before[[0, 2, 3, 5]]).all()
    assert (parameter[[1, 4]] != before[[1, 4]]).all()
    state = optimizer.state[parameter]
    assert state["exp_avg"][1, 0].item() == pytest.approx(0.2)  # two entries of 1, a tenth of their sum
    kept = state["exp_avg"][4].clone()
    parameter.grad = sparse([1], torch.ones(1, 3))
    optimizer.step()
    assert torch.equal(state["exp_avg"][4], kept)
    assert state["step"] == 2


def test_state_goes_through_a_checkpoint() -> None:
    one, other = table(), table()
    first, second = (LazyAdamW([parameter], lr=0.1, fused=True) for parameter in (one, other))
    one.grad = sparse([1], torch.ones(1, 3))
    first.step()
    with torch.no_grad():
        other.copy_(one)
    second.load_state_dict(deepcopy(first.state_dict()))  # which would share its tensors
    for parameter, optimizer in ((one, first), (other, second)):
        parameter.grad = sparse([1, 2], torch.full((2, 3), 0.5))
        optimizer.step()
    assert torch.equal(one, other)


def test_sparse_and_dense_gradients_are_clipped_by_one_norm() -> None:
    one, other = table(), table()
    one.grad, other.grad = sparse([1, 1], torch.full((2, 3), 2.0)), torch.zeros(6, 3)
    other.grad[0, 0] = 3.0
    _clip([one, other], largest=1.0)
    norm = (3 * 16.0 + 9.0) ** 0.5
    assert one.grad.coalesce().values().flatten().tolist() == pytest.approx([4 / norm] * 3, rel=1e-5)
    assert other.grad[0, 0].item() == pytest.approx(3 / norm, rel=1e-5)


def test_small_gradients_are_not_clipped() -> None:
    parameter = table()
    parameter.grad = torch.full((6, 3), 0.01)
    _clip([parameter], largest=1.0)
    assert (parameter.grad == 0.01).all()
