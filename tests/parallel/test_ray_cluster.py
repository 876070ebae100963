"""Pieces on a cluster, which a stand-in for Ray does here; `test_on_ray.py` has Ray itself do them."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from parallel.stand_in import OutOfMemoryError, StandIn, WorkerCrashedError
from recdistill.errors import UserError
from recdistill.interruption import Interrupted, deferred, handled_signals, stop_point
from recdistill.parallel import ray_cluster
from recdistill.parallel.ray_cluster import RayCluster


@pytest.fixture
def port() -> Iterator[int]:
    """One at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def tenfold(piece: int) -> int:
    return 10 * piece


def name(piece: int) -> str:
    return f"shard {piece}"


def test_results_are_known_by_their_place_in_whatever_order_they_come(stand_in: StandIn) -> None:
    with RayCluster(workers=3) as cluster:
        found = list(cluster.map(tenfold, range(7), name))
    assert found != sorted(found)
    assert dict(found) == {place: 10 * place for place in range(7)}
    assert stand_in.most == 3
    assert stand_in.stopped == 1


def test_without_pieces_no_cluster_is_started(stand_in: StandIn) -> None:
    with RayCluster() as cluster:
        assert list(cluster.map(tenfold, [], name)) == []
    assert (stand_in.asked, stand_in.stopped) == ([], 0)


def test_a_cluster_of_this_machine_is_started_for_the_workers_and_reached_from_nowhere_else(stand_in: StandIn) -> None:
    with RayCluster(workers=2, cpus=3) as cluster:
        stand_in.machines, stand_in.free = [6.0], 6.0
        list(cluster.map(tenfold, [1], name))
        list(cluster.map(tenfold, [2], name))
    ((address, asked),) = stand_in.asked
    assert address == "local"
    assert (asked["num_cpus"], asked["include_dashboard"]) == (6, False)
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert (os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])) == ("token", 64)
    assert not Path(asked["_temp_dir"]).exists()  # It is removed at the end.
    assert {(each["num_cpus"], each["max_retries"]) for each in stand_in.options_asked} == {(3, 0)}


def test_on_a_given_cluster_as_many_pieces_run_as_machines_have_room_for(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    stand_in.machines, stand_in.free = [3.0, 5.0, 1.0], 9.0
    with RayCluster(cpus=2) as cluster:
        list(cluster.map(tenfold, range(9), name))
    assert stand_in.most == 1 + 2 + 0
    assert stand_in.asked[0][0] == "auto"
    assert "num_cpus" not in stand_in.asked[0][1]


def test_a_lost_workers_piece_is_done_again(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    stand_in.lost = [None, WorkerCrashedError("x"), OutOfMemoryError("y")]
    with RayCluster(workers=3) as cluster:
        found = dict(cluster.map(tenfold, range(4), name))
    assert found == {place: 10 * place for place in range(4)}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "shard 2: its worker was stopped by Ray, since the machine ran out of memory; it is done again",
        "shard 1: its worker was lost (killed, or out of memory); it is done again",
    ]


def test_a_piece_whose_worker_is_lost_three_times_is_given_up_with_what_was_done_kept(stand_in: StandIn) -> None:
    stand_in.lost = [None, *[WorkerCrashedError("x")] * 3]
    found = {}
    told = r"shard 1: its worker was lost \(killed, or out of memory\) 3 times; what was done is kept, and the same"
    with RayCluster(workers=1) as cluster, pytest.raises(UserError, match=told):
        for place, result in cluster.map(tenfold, range(4), name):
            found[place] = result
    assert found == {0: 0}
    assert stand_in.stopped == 1


def failing(piece: Exception) -> int:
    raise piece


@pytest.mark.parametrize(
    ("mistake", "kind", "told"),
    [
        (
            UserError("no space"),
            UserError,
            "shard no space: no space; what was done is kept, and the same command resumes",
        ),
        (MemoryError("9 GiB"), MemoryError, "shard 9 GiB, in a worker: 9 GiB"),
        (MemoryError(), MemoryError, "shard , in a worker"),
        (KeyError("x"), KeyError, "'x'"),
    ],
)
def test_a_mistake_in_a_worker_is_told_with_its_piece(
    stand_in: StandIn, mistake: Exception, kind: type[Exception], told: str
) -> None:
    with RayCluster() as cluster, pytest.raises(kind) as caught:
        list(cluster.map(failing, [mistake], lambda piece: f"shard {piece}"))
    assert str(caught.value) == told
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("machines", "free", "told"),
    [
        ([1.0, 1.0], 2.0, "ray: a piece takes 2 CPUs, which are on no machine of the cluster (waited 0 s)"),
        ([8.0], 1.0, "ray: a piece takes 2 CPUs, which are taken by others (waited 0 s)"),
    ],
)
def test_a_cluster_without_room_for_a_piece_is_told(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, machines: list[float], free: float, told: str
) -> None:
    monkeypatch.setattr(ray_cluster, "PATIENCE_SECONDS", 0.0)
    stand_in.machines, stand_in.free = machines, free
    with RayCluster(cpus=2) as cluster, pytest.raises(UserError) as caught:
        list(cluster.map(tenfold, [1], name))
    assert str(caught.value) == told
    assert stand_in.stopped == 1


def test_a_cluster_that_loses_all_its_machines_is_given_up(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "wait", lambda tasks, **_: ([], tasks))
    monkeypatch.setattr(ray_cluster, "PATIENCE_SECONDS", 0.0)
    with RayCluster() as cluster:
        results = cluster.map(tenfold, [1], name)
        monkeypatch.setattr(ray_cluster, "_wait_for_room", lambda *_: stand_in.machines.clear())
        with pytest.raises(UserError, match="ray: the cluster has had no machine for a piece for 0 s; what was done"):
            list(results)


def test_long_waits_are_said(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits, wait = iter([True, True, False]), stand_in.wait
    monkeypatch.setattr(stand_in, "wait", lambda tasks, **named: ([], tasks) if next(waits) else wait(tasks, **named))
    monkeypatch.setattr(ray_cluster, "QUIET_SECONDS", 0.0)
    with RayCluster() as cluster:
        assert list(cluster.map(tenfold, [1], name)) == [(0, 10)]
    assert [record.getMessage() for record in caplog.records] == ["ray: nothing was done for 0 s (2 CPUs are free)"] * 2


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":1"])
def test_an_address_that_is_none_is_told(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with RayCluster() as cluster, pytest.raises(UserError) as caught:
        list(cluster.map(tenfold, [1], name))
    assert str(caught.value).startswith(f"RAY_ADDRESS: {address} is neither HOST:PORT nor auto ")


def test_a_cluster_that_cannot_be_reached_is_told_before_ray_tries_for_minutes(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    told = rf"RAY_ADDRESS: 127.0.0.1:{port}: no cluster can be reached there \(.*refused\)"
    with RayCluster() as cluster, pytest.raises(UserError, match=told):
        list(cluster.map(tenfold, [1], name))
    assert not stand_in.asked


def test_a_cluster_that_ray_cannot_join_is_told_in_one_line(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    stand_in.refuses = "Version mismatch\nand more"
    with RayCluster() as cluster, pytest.raises(UserError) as caught:
        list(cluster.map(tenfold, [1], name))
    assert str(caught.value) == "ray: auto: cannot be joined (Version mismatch)"


def test_what_cannot_be_had_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="workers: -1 is out of range; it must be 0 or more"):
        RayCluster(-1)
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"ray is not installed; run pip install '\.\[ray\]'"):
        RayCluster()


def stopped(piece: int) -> int:
    if piece == 1:
        signal.raise_signal(signal.SIGTERM)
    return piece


def test_a_signal_ends_the_pieces_and_ray_does_not_keep_it(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts a handler of its own in place when it is imported or joined."""
    joined = stand_in.init

    def init(address: str, **named: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        joined(address, **named)

    monkeypatch.setattr(stand_in, "init", init)
    found = []
    with pytest.raises(Interrupted), handled_signals(quiet=True), deferred(), RayCluster(workers=1) as cluster:
        found = list(cluster.map(stopped, range(5), name))
        stop_point("two")
    assert found == [(0, 0), (1, 1)]
    assert stand_in.stopped == 1
