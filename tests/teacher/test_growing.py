"""A cached history that grows gives what reading it anew gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from recdistill.config import GateConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import history_windows
from recdistill.errors import UserError
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.teacher import Teacher
from there import there

KINDS = [
    {"prompt": "item", "title_decay": 0.7},
    {"prompt": "item"},
    {"prompt": "text"},
    {"prompt": "text", "attention": "eager"},
    {"prompt": "text", "padding": "packed"},
    {"prompt": "text", "gate": GateConfig(kind="none")},
    {"prompt": "text", "quantization": "nf4"},
]


@pytest.mark.parametrize("kind", KINDS)
def test_growing_equals_reading_anew(
    make_teacher: Callable[..., Teacher], data: PreparedData, kind: dict[str, Any]
) -> None:
    teacher = make_teacher(data, targets="last", **kind)
    if "title_decay" in kind:  # title similarity must count for something, or nothing of it is tested
        head = teacher.ranker.head
        head.title_vectors.copy_(torch.randn(head.title_vectors.shape, generator=torch.Generator().manual_seed(0)))
        there(head.titles_weight).data.fill_(1.0)
    users = np.flatnonzero(data.train_ends >= 6)[:3]
    histories = GrowingHistories(teacher.ranker, teacher.prompts, len(users), window=10)
    lengths = np.minimum(data.train_ends[users], 10)
    for step in range(int(lengths.max())):
        new = np.where(step < lengths, data.items[data.offsets[users] + np.minimum(step, lengths - 1)], 0)
        grown = histories.extend(torch.from_numpy(new.astype(np.int64)))
        targets = Targets(users.astype(np.int32), np.minimum(step + 1, lengths).astype(np.int32))
        windows = history_windows(data, targets, 10)
        for row in range(len(users)):
            if step < lengths[row]:
                _, anew, _ = teacher.predict(windows, np.array([row]))
                torch.testing.assert_close(grown[row], anew[0], rtol=1e-3, atol=1e-4)
    read = histories.read
    assert read.reused > read.useful
    assert (read.prompts, read.micro_batches, read.packed) == (3, int(lengths.max()), 0)
    assert histories.lengths.tolist() == lengths.tolist()


def test_passes_are_counted_with_their_padding(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    teacher = make_teacher(data, prompt="text", targets="last")
    tokens = teacher.prompts.tokens_per_item()  # index 0 is the head's
    short, long = int(tokens[1:].argmin()) + 1, int(tokens[1:].argmax()) + 1
    assert tokens[short] < tokens[long]
    histories = GrowingHistories(teacher.ranker, teacher.prompts, 2, window=2)
    histories.extend(torch.tensor([short, long]))
    histories.extend(torch.tensor([long, 0]))
    assert histories.read.useful == 2 * tokens[0] + tokens[short] + 2 * tokens[long]
    assert histories.read.processed == 2 * (tokens[0] + tokens[long]) + 2 * tokens[long]
    assert histories.read.micro_batches == 2
    assert histories.read.reused == tokens[0] + tokens[short]


def test_a_full_window_is_refused(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    teacher = make_teacher(data)
    histories = GrowingHistories(teacher.ranker, teacher.prompts, 1, window=2)
    for item in (1, 2):
        histories.extend(torch.tensor([item]))
    with pytest.raises(UserError, match=r"full \(2 items\); start anew with its latest items"):
        histories.extend(torch.tensor([3]))


def test_a_gate_that_changes_with_the_history_is_refused(
    make_teacher: Callable[..., Teacher], data: PreparedData
) -> None:
    teacher = make_teacher(data, targets="last", gate=GateConfig(kind="instance"))
    with pytest.raises(UserError, match=r"gate\.kind causal or none"):
        GrowingHistories(teacher.ranker, teacher.prompts, 1, window=2)
