"""Several processes take the steps of one: losses, weights, validations, ranks."""

from typing import Any

import numpy as np
import pytest
import torch

from parallel.worker import LOSSES, OneOfOne, everything, sums, work
from processes import together
from recdistill.errors import UserError
from recdistill.parallel import joining
from recdistill.parallel.joining import join
from recdistill.parallel.processes import ALONE
from recdistill.storage.files import read_json


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process finds."""
    torch.set_num_threads(1)
    return everything(OneOfOne(), tmp_path_factory.mktemp("alone"), list(LOSSES))


@pytest.fixture(scope="module", params=[2, 4])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of several processes finds."""
    folder, size = tmp_path_factory.mktemp("together"), request.param
    codes = together(size, work, [folder, size], folder / "stderr")
    assert codes == [0] * size, [(folder / f"stderr{rank}").read_text()[-2000:] for rank in range(size)]
    return [read_json(folder / f"{rank}.json") for rank in range(size)]


@pytest.mark.parametrize("loss", LOSSES)
def test_each_step_has_the_loss_of_one_process(alone: dict[str, Any], found: list[dict[str, Any]], loss: str) -> None:
    """Also where a micro-batch has fewer rows than there are processes."""
    assert len(alone[loss]["losses"]) == 10
    for one in found:
        np.testing.assert_allclose(one[loss]["losses"], alone[loss]["losses"], rtol=1e-5)
        assert one[loss]["history"] == alone[loss]["history"]
        for name, weight in alone[loss]["weights"].items():
            np.testing.assert_allclose(one[loss]["weights"][name], weight, atol=2e-5)


def test_all_hold_the_same_weights_to_the_bit_and_the_first_alone_saves(found: list[dict[str, Any]]) -> None:
    for loss in (*LOSSES, "dropout"):
        assert all(one[loss]["weights"] == found[0][loss]["weights"] for one in found)
        assert [bool(one[loss]["checkpoint"]) for one in found] == [True] + [False] * (len(found) - 1)


def test_dropout_is_drawn_in_each_process_anew(alone: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """So losses are near one process's, not equal to them."""
    one, other = (np.array(each["dropout"]["losses"]) for each in (alone, found[0]))
    assert not np.allclose(one, other, rtol=1e-5)
    np.testing.assert_allclose(one, other, rtol=0.1)


def test_ranks_and_lists_are_those_of_one_process(alone: dict[str, Any], found: list[dict[str, Any]]) -> None:
    assert all(one["ranking"] == alone["ranking"] for one in found)


def test_what_the_processes_tell_one_another(found: list[dict[str, Any]]) -> None:
    size = len(found)
    ranks = list(range(size))
    for rank, one in enumerate(found):
        assert one["patience"] == joining.PATIENCE.total_seconds()  # Only starting has to be quick.
        told = one["sums"]
        assert told["sums"] == pytest.approx([size, sum(ranks), size / 10], abs=1e-15)
        assert told["array"] == [sum(ranks), size * 2**40]
        gathered = [place * 10 + number for place in ranks for number in range(place + 1)]
        assert told["gathered"] == [gathered, sum(range(rank + 1))]
        assert told["shared"] == {"of": 0}
        assert told["values"] == ranks
        assert told["any"] == [True, False]
        assert told["own"] == [10, 11, 12, 13, 14][rank::size]
        assert told["loss"] == sum(ranks)


def test_gradients_are_summed_dense_and_sparse_and_none_is_made_up(found: list[dict[str, Any]]) -> None:
    size = len(found)
    rows = [[float(size - 1)] * 2] + [[2.0 if row < size else 0.0] * 2 for row in (1, 2, 3)]
    for one in found:
        nowhere, somewhere, everywhere, table = one["sums"]["gradients"]
        assert nowhere is None
        assert somewhere == [[1.0] * 2] * 4
        assert everywhere == [[size * (size + 1) / 2] * 2] * 4
        assert table == rows


def test_one_process_alone_tells_itself_the_same() -> None:
    told = sums(ALONE)
    assert (told["sums"], told["shared"], told["values"], told["own"]) == (
        [1, 0, 0.1],
        {"of": 0},
        [0],
        [10, 11, 12, 13, 14],
    )
    assert (told["gathered"], told["any"], told["loss"]) == ([[0], 0], [False, False], 0.0)


def test_processes_that_were_not_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="3 processes are asked for and this one was started alone; `recdistill run`"):
        join("cpu", 3, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="devices: 3 times nodes: 1 is 3 processes, and 4 were started"):
        join("cpu", 3, 1)
