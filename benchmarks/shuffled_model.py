"""A control for what a model has learned: the same model with its weights shuffled within each matrix.

    python benchmarks/shuffled_model.py ~/.cache/recdistill/smollm2/transformers shuffled/smollm2 --seed 0
    recdistill study configs/studies/ml-latest-small-shuffled.yaml

Every matrix keeps its numbers, and so its mean, spread and norm, in another order; vectors (norms and biases) stay as
they are. A teacher that ranks as well on such weights has used nothing that they held before.
"""

import argparse
import shutil
import zlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def shuffled(tensor: Tensor, name: str, seed: int) -> Tensor:
    """The numbers of a matrix in an order drawn by `seed` and its name; a vector as it is."""
    if tensor.ndim < 2:
        return tensor
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
    order = torch.randperm(tensor.numel(), generator=generator)
    return tensor.flatten()[order].reshape(tensor.shape)


def write_shuffled(model: Path, out: Path, seed: int) -> int:
    """Copy a model's folder, its safetensors files with shuffled matrices.

    Returns:
        How many matrices were shuffled.

    Raises:
        SystemExit: the folder holds no safetensors file, or `out` exists.
    """
    if not any(model.glob("*.safetensors")):
        raise SystemExit(f"shuffled_model: {model}: holds no .safetensors file")
    if out.exists():
        raise SystemExit(f"shuffled_model: {out}: is there already; remove it or name another folder")
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("*.safetensors"))
    matrices = 0
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {name: shuffled(file.get_tensor(name), name, seed) for name in file.keys()}  # noqa: SIM118
            matrices += sum(tensor.ndim >= 2 for tensor in tensors.values())
            save_file(tensors, out / path.name, file.metadata())
    return matrices


def main() -> None:
    """Write the folder, say what was shuffled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="Folder with config.json and .safetensors files.")
    parser.add_argument("out", type=Path, help="Folder to write.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the order.")
    arguments = parser.parse_args()
    count = write_shuffled(arguments.model, arguments.out, arguments.seed)
    print(f"{arguments.out}: {count} matrices shuffled")


if __name__ == "__main__":
    main()
