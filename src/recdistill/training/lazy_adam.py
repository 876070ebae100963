"""AdamW that moves only the rows of a table that a step's gradient speaks of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class LazyAdamW(torch.optim.AdamW):
    """AdamW; a parameter whose gradient is sparse is moved in the rows that the gradient holds, and in no others.

    As in TensorFlow's LazyAdam and torch's SparseAdam, the means of the other rows stay as they are instead of fading,
    and the bias correction counts all steps. Weight decay falls on the rows that are moved. With dense gradients it is
    AdamW to the bit; its state has the same names.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step, first of the sparse gradients, which are then given up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._move_rows(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None
        return super().step(closure)

    def _move_rows(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move (N, D) by a coalesced gradient of some rows."""
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        size = square.sqrt_().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
        moved = mean.div_(size).mul_(-group["lr"] / (1 - beta1**step))
        if group["weight_decay"]:
            moved.sub_(table.index_select(0, rows), alpha=group["lr"] * group["weight_decay"])
        table.index_add_(0, rows, moved)
