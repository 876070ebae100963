"""A frozen model of which each process holds a share."""

from pathlib import Path

import numpy as np
import pytest

from parallel.spread_worker import BATCHES, BLOCKS, WIDTH, make, read, work
from processes import together
from recdistill.config import RunConfig, TeacherConfig
from recdistill.config.unread import unread_settings
from recdistill.errors import UserError
from recdistill.storage.files import read_json


def test_shares_are_read_unevenly_and_trained_as_one_model(tmp_path: Path) -> None:
    """Two processes hold half of each block; one reads 9 times and the other 6, and neither waits for ever."""
    assert together(2, work, [tmp_path, 2], tmp_path / "stderr") == [0, 0]
    found = [read_json(tmp_path / f"{rank}.json") for rank in range(2)]
    assert [one["shares"] for one in found] == [[WIDTH * WIDTH // 2, WIDTH // 2] * BLOCKS] * 2
    decoder, items = make()
    together_read = {**found[0]["read"], **found[1]["read"]}
    assert sorted(together_read) == [str(number) for number in range(BATCHES)]
    for number, states in together_read.items():
        np.testing.assert_allclose(states, read(decoder, items[int(number)]), atol=1e-6)
    loss = decoder(items[:2].flatten()).sum()
    loss.backward()
    for one in found:
        assert one["loss"] == pytest.approx(float(loss.detach()), abs=1e-4)
        expected = [each.grad.tolist() for each in decoder.parameters() if each.grad is not None]
        np.testing.assert_allclose(one["gradients"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantization": "nf4"}, "quantised ones are a quarter or less"),
        ({"precision": "fp16"}, "teacher.precision: fp16 needs a GPU for that"),
        ({"attention": "flash_attention_2", "precision": "bf16"}, "teacher.attention: flash_attention_2 needs a GPU"),
        ({"folds": 2}, "cannot be combined with teacher.folds"),
    ],
)
def test_what_a_spread_model_cannot_do_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=f"strategy: fsdp .*{said}"):
        RunConfig(devices=2, strategy="fsdp", teacher=TeacherConfig(**settings))  # type: ignore[arg-type]


def test_a_strategy_that_nothing_reads_is_told() -> None:
    assert unread_settings(RunConfig(strategy="fsdp")) == [
        "strategy: fsdp is not read without devices or nodes above 1"
    ]
    assert unread_settings(RunConfig(strategy="fsdp", nodes=2)) == []
    assert unread_settings(RunConfig(strategy="fsdp", devices=2)) == []
