"""Export and evaluation on a cluster of two workers: files and numbers of one process, also where a worker is killed.

A stand-in for Ray does the pieces in this process; where Ray is installed, its own workers do them too.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from chain import options, write_interactions
from parallel import ray_light_work, ray_work
from parallel.stand_in import StandIn, WorkerCrashedError
from recdistill.cli import main
from recdistill.config import RunConfig
from recdistill.distill import reading
from recdistill.errors import UserError, not_installed
from recdistill.parallel import ray_cluster
from recdistill.parallel.ray_cluster import RayCluster
from recdistill.parallel.ray_joining import SILENT
from recdistill.pipeline import on_cluster
from recdistill.pipeline.on_cluster import SeenRun, ShardToExport, export_shard
from recdistill.pipeline.plans import OpenRun
from recdistill.storage.run_folder import RunFolder
from recdistill.version import __version__

Run = tuple[Path, list[str]]
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="the extra `ray` is not installed (200 MB, so it is not in requirements.lock)"
)
CHANGING = ("manifest.json", "timings.json", "memory.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Iterator[Run]:
    """A run up to its evaluation by one process, and the options that it was made with."""
    folder = tmp_path_factory.mktemp("cluster")
    events = write_interactions(folder / "data")
    few = ("--export.shard_rows=48", "--export.batch_size=8", "--evaluate.batch_size=2", "--threads=1")
    words = options(folder / "run", tiny_llm, events, *few)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        patch.setattr(on_cluster, "BATCHES", 4)
        assert main(["evaluate", *words]) == 0
        yield folder / "run", words


def begun(whole: Run, to: Path, *steps: str) -> Run:
    """A run of which these steps are done."""
    run, words = whole
    for step in steps or ("prepare", "student", "teacher"):
        shutil.copytree(run / step, to / step)
    return to, [*words, f"--run={to}", "--engine=ray", "--workers=2"]


def files(folder: Path) -> dict[str, bytes]:
    """All files that do not tell of time, memory or the machine."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in CHANGING)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def same(run: Path, whole: Run, *steps: str) -> None:
    for step in steps:
        expected = files(whole[0] / step)
        assert files(run / step) == expected
        assert expected
    assert not list(run.glob("*.partial"))


def test_the_store_and_the_metrics_are_those_of_one_process(
    whole: Run, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a worker is lost, or has left what nobody takes in."""
    run, words = begun(whole, tmp_path / "run")
    stand_in.lost = [None, WorkerCrashedError("x")]

    def twice(piece: ShardToExport) -> Path:
        assert export_shard(piece).is_dir()
        return export_shard(piece)

    monkeypatch.setattr(on_cluster, "export_shard", twice)
    assert main(["export", *words]) == 0
    assert len(stand_in.asked) == 1
    same(run, whole, "teacher_outputs")
    assert len(list((run / "teacher_outputs").glob("shard-*"))) > 4
    shutil.copytree(whole[0] / "distilled", run / "distilled")
    assert main(["evaluate", *words]) == 0
    assert len(stand_in.asked) == 2
    same(run, whole, "evaluation")
    assert main(["evaluate", *words]) == 0  # Nothing is left to do, so no cluster is joined.
    assert len(stand_in.asked) == 2


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    return said[0]


def test_after_a_signal_and_a_full_disk_in_one_shard_the_same_command_goes_on(
    whole: Run, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = begun(whole, tmp_path / "run")
    here = [word for word in words if not word.startswith(("--engine", "--workers"))]
    predict, read = reading.predict_rows, []

    def stopped(*arguments: Any) -> Any:
        read.append(1)
        if len(read) == 4:
            signal.raise_signal(signal.SIGTERM)
        return predict(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "predict_rows", stopped)
        assert main(["export", *here]) == 143
    partial = run / "teacher_outputs.partial"
    (aside,) = partial.glob(".shard-*.aside")  # Its shard is read again from its first row on.
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(on_cluster, "export_shard", ray_work.export_on_a_full_disk)
        assert main(["export", *words, "--workers=1"]) == 2
    assert last_line(capsys) == (
        f"recdistill: error: export: shard 3: {partial}: no space left on device; nothing half-written was kept; "
        "what was done is kept, and the same command resumes"
    )
    assert not aside.exists()
    assert [path.name for path in sorted(partial.glob("*shard*"))] == [f"shard-0000{number}" for number in range(3)]
    done: list[int] = []

    def counted(piece: ShardToExport) -> Path:
        done.append(piece.part.number)
        return export_shard(piece)

    monkeypatch.setattr(on_cluster, "export_shard", counted)
    assert main(["export", *words]) == 0
    assert sorted(done) == list(range(3, 3 + len(done)))
    same(run, whole, "teacher_outputs")


@pytest.mark.parametrize(("command", "work"), [("export", "export_shard"), ("evaluate", "rank_rows")])
def test_a_worker_without_memory_is_one_line_that_says_what_to_lower(
    whole: Run,
    tmp_path: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    work: str,
) -> None:
    run, words = begun(whole, tmp_path / "run", "prepare", "student", "teacher", "teacher_outputs", "distilled")
    if command == "export":
        shutil.rmtree(run / "teacher_outputs")
    monkeypatch.setattr(on_cluster, work, ray_light_work.without_memory)
    assert main([command, *words]) == 2
    said = last_line(capsys)
    assert said.startswith(f"recdistill: error: {command}: out of memory (cpu, ")
    assert "in a worker: cannot allocate 9 GiB" in said
    assert f"{command}.batch_size" in said


def test_a_machine_that_sees_another_run_is_refused(whole: Run, tmp_path: Path, stand_in: StandIn) -> None:
    run, _ = begun(whole, tmp_path / "run", "prepare", "student")
    opened = OpenRun(RunConfig(run=str(run)), RunFolder(run), "cpu")
    seen = SeenRun.of(opened, RayCluster(cpus=1), "prepare", "student")
    assert on_cluster._opened(seen).made("student") == seen.made[1][1]
    with pytest.raises(UserError, match=f"a worker has recdistill {__version__}, and 1.0 is needed"):
        on_cluster._opened(replace(seen, version="1.0"))
    on_cluster._opened.cache_clear()
    (run / "student" / "student.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=f"{run}: a worker's machine sees another run, or none; all must see the same"):
        on_cluster._opened(seen)
    with pytest.raises(UserError, match="sees another run, or none"):
        on_cluster._opened(replace(seen, made=(("prepare", "0123"),)))


def test_what_does_not_go_with_a_cluster_is_refused(
    whole: Run, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, words = begun(whole, tmp_path / "run")
    assert main(["export", *words, "--teacher.compile=true"]) == 2
    assert "teacher.compile: each worker of a cluster would compile all shapes anew" in last_line(capsys)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert main(["export", *words, "--devices=2"]) == 2
    assert "devices: several processes do not go with `--engine ray`" in last_line(capsys)
    assert main(["export", *words, "--workers=-1"]) == 2
    assert "workers: -1 is out of range" in last_line(capsys)
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _name: None)
    assert main(["export", *words]) == 2
    assert last_line(capsys) == f"recdistill: error: {not_installed('ray', 'ray')}"
    assert main(["student", *words]) == 2
    assert "engine" in last_line(capsys)
    assert not stand_in.asked


@pytest.fixture(scope="module")
def ray_cluster_of_two() -> Iterator[str]:
    """The address of a cluster that runs, with two CPUs; its workers find the functions of tests."""
    with pytest.MonkeyPatch.context() as patch:
        tests = Path(__file__).parents[1]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests), str(tests.parent / "src")]))
        for name, value in SILENT.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield cluster.address
        cluster.shutdown()


@needs_ray
def test_a_killed_workers_shard_and_part_are_done_again(
    whole: Run,
    tmp_path: Path,
    ray_cluster_of_two: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, words = begun(whole, tmp_path / "run")
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster_of_two)
    monkeypatch.setattr(on_cluster, "export_shard", ray_work.export_after_a_kill)
    monkeypatch.setattr(on_cluster, "rank_rows", ray_work.rank_after_a_kill)
    assert main(["export", *words]) == 0
    again = "its worker was lost (killed, or out of memory); it is done again"
    assert last_line(capsys).endswith(f" export: shard 1: {again}")
    same(run, whole, "teacher_outputs")
    (run / "killed").unlink()
    shutil.copytree(whole[0] / "distilled", run / "distilled")
    assert main(["evaluate", *words]) == 0
    assert last_line(capsys).endswith(f" evaluate: part 1 of the teacher model's targets: {again}")
    same(run, whole, "evaluation")


@needs_ray
def test_rays_own_errors_are_known(
    ray_cluster_of_two: str, whole: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the stand-in says of them is so."""
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster_of_two)
    with RayCluster(workers=2) as cluster:
        with pytest.raises(MemoryError, match="piece 3, in a worker: cannot allocate 9 GiB"):
            list(cluster.map(ray_light_work.without_memory, [3], "piece {}".format))
        with pytest.raises(
            UserError, match=r"piece 3: no space left on device; nothing half-written was kept; what was"
        ):
            list(cluster.map(ray_light_work.on_a_full_disk, [3], "piece {}".format))
        with pytest.raises(
            UserError, match=r"piece 3: its worker was lost \(killed, or out of memory\) 3 times; what "
        ):
            list(cluster.map(ray_light_work.killed, [3], "piece {}".format))
        assert dict(cluster.map(ray_light_work.slowly, range(8), str)) == {place: place for place in range(8)}
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(ray_cluster, "PATIENCE_SECONDS", 1.0)
    with (
        RayCluster(cpus=3) as cluster,
        pytest.raises(UserError, match="3 CPUs, which are on no machine of the cluster"),
    ):
        list(cluster.map(ray_light_work.slowly, [1], str))


@needs_ray
def test_a_command_starts_a_cluster_that_only_this_machine_reaches_and_stops_it(whole: Run, tmp_path: Path) -> None:
    run, words = begun(whole, tmp_path / "run")
    with tempfile.TemporaryDirectory() as temporary:  # Names of sockets must be short.
        line = [sys.executable, "-m", "recdistill", "export", *words, "--export.shard_rows=4"]
        told = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = subprocess.Popen(
            line, env=told | {"TMPDIR": temporary}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        listening: set[str] = set()
        end = time.monotonic() + 240
        while not list((run / "teacher_outputs.partial").glob("shard-*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            started = psutil.Process(process.pid).children(recursive=True)
            listening |= {address for each in started for address in addresses(each)}
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=120)
        assert list(Path(temporary).iterdir()) == []
    assert (process.returncode, out) == (143, "")
    (last,) = said.splitlines()
    assert last.startswith("recdistill: terminated; saved: the teacher's outputs for ")
    assert last.endswith(" targets; the same command resumes from there")
    assert listening == {"127.0.0.1"}
    assert not [each for each in started if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def addresses(process: psutil.Process) -> set[str]:
    """At which a process listens."""
    try:
        found = process.net_connections(kind="inet")
    except psutil.Error:  # It has ended.
        return set()
    return {each.laddr.ip.removeprefix("::ffff:") for each in found if each.status == psutil.CONN_LISTEN}
