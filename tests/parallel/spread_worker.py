"""A model that is spread over several processes, read unevenly and trained."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from recdistill.parallel.joining import join
from recdistill.parallel.spread import spread
from recdistill.storage.files import write_json

WIDTH, BLOCKS, BATCHES = 8, 3, 5


class Block(nn.Module):
    """A frozen layer and a trained one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(WIDTH, WIDTH)
        self.trained = nn.Parameter(torch.randn(WIDTH, WIDTH) / 10)
        self.frozen.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        added: Tensor = x + torch.tanh(self.frozen(x) + x @ self.trained)
        return added


class Decoder(nn.Module):
    """Blocks behind a table that stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, WIDTH).requires_grad_(requires_grad=False)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))

    def forward(self, items: Tensor) -> Tensor:
        """(B,) to (B, D)."""
        x: Tensor = self.table(items)
        for block in self.blocks:
            x = block(x)
        return x


def make() -> tuple[Decoder, Tensor]:
    """The same model and items (batches, 4) in all."""
    torch.manual_seed(0)
    return Decoder(), torch.randint(0, 10, (BATCHES, 4))


def read(decoder: Decoder, items: Tensor) -> list[float]:
    """Read without gradients."""
    with torch.inference_mode():
        read: list[float] = decoder(items).flatten().tolist()
    return read


def work(folder: Path, size: int) -> None:
    """In one of several processes."""
    torch.set_num_threads(1)
    processes = join("cpu", size, 1)
    decoder, items = make()
    spread(decoder, list(decoder.blocks), processes, "cpu")
    shares = [one.to_local().numel() for one in decoder.parameters() if isinstance(one, DTensor)]
    # Some have a batch more than others, and each reads its batches once more than the one before.
    told: dict[str, Any] = {"shares": shares, "read": {}}
    for number in processes.turns(range(BATCHES)):
        for _ in range(number + 1):
            told["read"][number] = read(decoder, items[number])
    loss = decoder(items[processes.rank]).sum()
    loss.backward()
    trained = [one for one in decoder.parameters() if one.requires_grad]
    told["loss"] = processes.sum_gradients(trained, float(loss))
    told["gradients"] = [one.grad.tolist() for one in trained if one.grad is not None]
    write_json(folder / f"{processes.rank}.json", told)
    processes.wait()
