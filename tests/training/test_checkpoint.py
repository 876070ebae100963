from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from recdistill.errors import UserError
from recdistill.measure.evidence import TokenCount
from recdistill.storage.checksums import DamagedError
from recdistill.training.checkpoint import (
    CHECKPOINT_FILE,
    Counts,
    copy_weights,
    discard_checkpoint,
    is_written,
    load_checkpoint,
    mark_written,
    put_weights,
    save_checkpoint,
)
from recdistill.training.validations import Validation


class Half(nn.Module):
    """A frozen layer and a trained one."""

    def __init__(self, seed: int, width: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.trained = nn.Linear(3, width)


def stepped(seed: int, steps: int = 2) -> tuple[Half, torch.optim.AdamW]:
    module = Half(seed)
    optimizer = torch.optim.AdamW(module.trained.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        module.trained(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return module, optimizer


def test_everything_comes_back(tmp_path: Path) -> None:
    module, optimizer = stepped(1)
    rows = [
        Validation(0.0, 0, 0, None, None, {"ndcg@10": 0.25}, 1.5),
        Validation(1.0, 7, 9, 0.1, 0.2, {"ndcg@10": 0.3}, 3.0),
    ]
    counts = Counts(epoch=3, group=2, step=7, epoch_loss=0.1 + 0.2, history=rows, tokens=TokenCount(useful=3).state())
    best = {name: value + 1 for name, value in copy_weights(module).items()}
    save_checkpoint(tmp_path, module, best, optimizer, {"scale": 8.0}, counts, "print")
    expected = torch.rand(5)

    other, other_optimizer = stepped(2, steps=1)
    loaded = load_checkpoint(tmp_path, other, other_optimizer, "print")
    assert loaded is not None
    assert torch.equal(torch.rand(5), expected), "the random state goes on from where it was"
    assert loaded[0] == counts
    assert loaded[2] == {"scale": 8.0}
    assert all(torch.equal(value, best[name]) for name, value in loaded[1].items())
    assert torch.equal(other.trained.weight, module.trained.weight)
    assert not torch.equal(other.frozen.weight, module.frozen.weight), "what is not trained is not kept"
    for mine, theirs in zip(module.trained.parameters(), other.trained.parameters(), strict=True):
        for key, value in optimizer.state[mine].items():
            assert torch.equal(value, other_optimizer.state[theirs][key]), key


def test_no_checkpoint(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, *stepped(1), "print") is None


def test_refusals(tmp_path: Path) -> None:
    module, optimizer = stepped(1)
    save_checkpoint(tmp_path, module, copy_weights(module), optimizer, {}, Counts(), "print")
    with pytest.raises(UserError, match="other settings or other data"):
        load_checkpoint(tmp_path, module, optimizer, "another print")
    wide = Half(1, width=4)
    with pytest.raises(UserError, match=r"does not fit this model \(first difference: trained.weight\)"):
        load_checkpoint(tmp_path, wide, torch.optim.AdamW(wide.trained.parameters()), "print")
    wide.trained.bias.requires_grad_(False)
    with pytest.raises(UserError, match=r"first difference: trained\.bias"):
        load_checkpoint(tmp_path, wide, torch.optim.AdamW([wide.trained.weight]), "print")


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda whole: whole[:-9], "not a whole checkpoint"),
        (lambda whole: b"", "not a whole checkpoint"),
        (lambda whole: flipped(whole, len(whole) - 5), "its checksum is another"),
        (lambda whole: whole.replace(b"checksum", b"checksun"), "its checksum is another"),
        (lambda whole: whole.replace(rb"epoch\": 7", rb"epoch\": 9"), "its checksum is another"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_nothing_of_it_is_used(
    tmp_path: Path, damage: Callable[[bytes], bytes], told: str
) -> None:
    module, optimizer = stepped(1)
    save_checkpoint(tmp_path, module, copy_weights(module), optimizer, {}, Counts(epoch=7), "print")
    path, before = tmp_path / CHECKPOINT_FILE, copy_weights(stepped(2)[0])
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    other, other_optimizer = stepped(2)
    with pytest.raises(DamagedError, match=told):
        load_checkpoint(tmp_path, other, other_optimizer, "print")
    for name, value in copy_weights(other).items():
        assert torch.equal(value, before[name])


def test_what_a_training_left_is_taken_only_where_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter.safetensors").write_bytes(b"weights")
    (tmp_path / "student.json").write_text("{}")
    assert not is_written(tmp_path)
    mark_written(tmp_path)
    (tmp_path / "manifest.json").write_text("of the step, which changes later")
    assert is_written(tmp_path)
    (tmp_path / "adapter" / "adapter.safetensors").write_bytes(b"weightz")
    assert not is_written(tmp_path)


def test_discard(tmp_path: Path) -> None:
    module, optimizer = stepped(1)
    save_checkpoint(tmp_path, module, copy_weights(module), optimizer, {}, Counts(), "print")
    discard_checkpoint(tmp_path)
    discard_checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_copied_weights_do_not_follow_the_module() -> None:
    module, _ = stepped(1)
    kept = copy_weights(module)
    before = kept["trained.weight"].clone()
    with torch.no_grad():
        module.trained.weight.add_(1)
    assert torch.equal(kept["trained.weight"], before)
    put_weights(module, kept, "here")
    assert torch.equal(module.trained.weight, before)
