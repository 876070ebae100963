"""The control with shuffled weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shuffled_model import write_shuffled


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {
        "a": torch.arange(600.0).reshape(20, 30),
        "b": torch.arange(600.0).reshape(20, 30),
        "norm": torch.arange(9.0),
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text("{}")
    return folder


def test_matrices_keep_their_numbers_in_another_order_and_vectors_their_order(model: Path, tmp_path: Path) -> None:
    assert write_shuffled(model, tmp_path / "out", 0) == 2
    before, after = load_file(model / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    for name in ("a", "b"):
        assert after[name].shape == before[name].shape
        assert torch.equal(after[name].flatten().sort().values, before[name].flatten().sort().values)
        assert (after[name] == before[name]).float().mean() < 0.05
    assert not torch.equal(after["a"], after["b"]), "each matrix has an order of its own"
    assert torch.equal(after["norm"], before["norm"])
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_the_order_follows_the_seed(model: Path, tmp_path: Path) -> None:
    found = []
    for place, seed in enumerate((0, 0, 1)):
        write_shuffled(model, tmp_path / str(place), seed)
        found.append(load_file(tmp_path / str(place) / "model.safetensors")["a"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_folder_that_will_not_do_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is there already"):
        write_shuffled(model, model, 0)
    with pytest.raises(SystemExit, match="holds no"):
        write_shuffled(tmp_path, tmp_path / "out", 0)
