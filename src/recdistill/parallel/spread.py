"""A frozen language model spread over processes: each holds a share of every block, brought together while it is read.

The engine is torch's FSDP2 (`fully_shard`). Trained parameters stay whole in every process, since they are small and
their gradients are summed as anywhere else (:meth:`recdistill.parallel.joined.Joined.sum_gradients`); the frozen ones
have no gradients, so weights are all that travels.

A block is read by all processes together. In training they read one micro-batch each, side by side. Elsewhere one has
more to read than another: each tells the others before it reads, and one that has nothing left goes on bringing weights
together (:meth:`recdistill.parallel.joined.Joined.level`) until none reads any more.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from recdistill.parallel.joined import Joined


def spread(decoder: nn.Module, blocks: Sequence[nn.Module], processes: Joined, device: str) -> None:
    """Give each process its share of the blocks' frozen parameters, on its device; what is outside of them stays whole.

    Call it in all processes, with the same weights on the CPU in all. Reading without gradients is level from now on.

    Args:
        decoder: what is called to read; all its blocks run once in each call.
        blocks: its blocks, in the order in which they run.
        processes: among which the blocks are spread.
        device: `cpu` or `cuda`.
    """
    mesh = init_device_mesh(device, (processes.size,))
    trained = {one for block in blocks for one in block.parameters() if one.requires_grad}
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=trained)
    # The decoder itself holds nothing spread: as their root it has blocks brought together ahead of the backward pass.
    outside = set(decoder.parameters()) - {one for block in blocks for one in block.parameters()}
    fully_shard(decoder, mesh=mesh, reshard_after_forward=True, ignored_params=trained | outside)
    known = [weakref.ref(block) for block in blocks]

    def take_part() -> None:
        """Bring each block's weights together once, as a reading does."""
        with torch.no_grad():
            for reference in known:
                block: Any = reference()
                block.unshard()
                block.reshard()

    def tell(*_: object) -> None:
        if not torch.is_grad_enabled():
            processes.reads()

    decoder.register_forward_pre_hook(tell)
    processes.take_part = take_part
    take_part()  # Buffers made under inference mode could not be trained through.
