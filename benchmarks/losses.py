"""CPU seconds of a student's loss with its gradients, by loss and size of the catalog; a line of JSON each.

    python benchmarks/losses.py --items 1682 20000 100000

2,500 targets (a batch of the default student), width 64. `cross_entropy` is the whole catalog in chunks; `each` has 256
negatives for each target, `shared` 256 or 4,096 for all of them, `mixed` 2,048 for all by popularity and those of the
batch, with the logQ correction. The losses differ in what they compute, not in how:
tests hold them against one another where they must agree.
"""

import argparse
import json
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from recdistill.config import LossConfig
from recdistill.config.loss import CrossEntropy
from recdistill.students.losses import training_loss
from recdistill.students.negatives import NegativeSampler

LOSSES = {
    "cross_entropy": LossConfig(),
    "each 256": LossConfig(name="sampled_softmax", negatives=256),
    "shared 256": LossConfig(name="sampled_softmax", negatives=256, shared=True),
    "shared 4096": LossConfig(name="sampled_softmax", negatives=4096, shared=True),
    "mixed 2048": LossConfig(
        name="sampled_softmax", negatives=2048, shared=True, popularity_power=0.5, in_batch=True, log_q=True
    ),
}


def seconds(loss: LossConfig, items: int, targets: int, width: int, repeats: int) -> float:
    """The median of some steps, forward and backward, after one that warms up."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(items + 1, width, generator=generator).requires_grad_()
    states = torch.randn(targets, width, generator=generator).requires_grad_()
    wanted = torch.randint(1, items + 1, (targets,), generator=generator)
    chosen, spent = loss.chosen(items), []
    sampler = None
    if not isinstance(chosen, CrossEntropy):
        sampler = NegativeSampler(chosen.sampling, torch.ones(items + 1, dtype=torch.int64))
    for _ in range(repeats + 1):
        vectors.grad = states.grad = None
        began = time.process_time()
        negatives = None if sampler is None else sampler.draw(wanted, generator)
        training_loss(chosen, states, vectors, wanted, negatives).backward()
        spent.append(time.process_time() - began)
    return statistics.median(spent[1:])


def main() -> None:
    """Time each loss at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 20_000, 100_000])
    parser.add_argument("--targets", type=int, default=2500)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for items in arguments.items:
        found = {
            name: round(seconds(loss, items, arguments.targets, arguments.width, arguments.repeats), 4)
            for name, loss in LOSSES.items()
        }
        sys.stdout.write(json.dumps({"items": items, "cpu_seconds": found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
