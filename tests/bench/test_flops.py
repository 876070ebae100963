from collections.abc import Callable

import torch

from recdistill.bench.flops import Work, forward_flops, matmul_peak, train_flops
from recdistill.data.prepared import PreparedData
from recdistill.training.reading import Teacher
from teacher.conftest import data, make_teacher, student_folder

__all__ = ["data", "make_teacher", "student_folder"]


def test_operations_of_a_small_teacher_by_hand(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    ranker = make_teacher(data, layers=2).ranker
    # Llama, width 64: q and o 64×64, k and v 64×32, three of 64×128; experts on q and v, rank 8; two blocks.
    frozen = 2 * 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    experts = 2 * 2 * 8 * ((64 + 64) + (64 + 32))
    attention = 2 * 2 * 64 * 100 * (10 + 1)
    items, state = ranker.item_vectors().shape
    head = 2 * 7 * items * state
    work = Work(prompts=10, tokens=100, targets=7)
    assert forward_flops(ranker, work) == 100 * (frozen + experts) + attention + head
    assert train_flops(ranker, work) == 100 * (2 * frozen + 3 * experts) + 3 * (attention + head)


def test_the_peak_is_a_speed() -> None:
    assert matmul_peak(torch.float32, "cpu", seconds=0.05) > 1e8
