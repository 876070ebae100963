"""`recdistill serve` as people run it: processes, signals, a new bundle while requests come in, and mistakes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from older_runs import without_checksums
from recdistill import Recommender
from recdistill.cli import main
from recdistill.data.catalog import Catalog
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.serving.bundle import make_bundle
from recdistill.serving.examples import read_examples

KEY = "a-long-enough-key"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


class Served:
    """A server with two workers."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.log = (folder / "log").open("w+")
        command = [sys.executable, "-m", "recdistill", "serve", str(source), "--port", "0", "--workers", "2"]
        environment = os.environ | {"RECDISTILL_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, self.told()

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self.address.removeprefix("http://").rstrip("/"), timeout=30)

    def ask(
        self, method: str, path: str, body: Any = None, connection: HTTPConnection | None = None
    ) -> tuple[int, Any]:
        own = connection or self.connect()
        own.request(method, path, json.dumps(body) if body is not None else None, HEADERS)
        answer = own.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if "json" in answer.headers["content-type"] else text

    def told(self) -> str:
        return Path(self.log.name).read_text()

    def workers(self) -> dict[str, int]:
        """How many workers serve each bundle, by its fingerprint."""
        _, text = self.ask("GET", "/metrics")
        found = re.findall(r'recdistill_bundle_workers\{fingerprint="(\w+)",name="[\w-]+"\} (\d)', text)
        return {fingerprint: int(count) for fingerprint, count in found if count != "0"}


def soon(what: Callable[[], bool]) -> bool:
    """Whether something becomes true within twenty seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def bundles(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, two bundles of one name, and a link `now` to the first of them."""
    folder = tmp_path_factory.mktemp("bundles")
    first = make_bundle(made_run, folder / "first", "shop")
    second = without_checksums(shutil.copytree(made_run, folder / "run")) / "prepare" / "catalog.json"
    names = json.loads(second.read_text())
    names["titles"][1] = "Another title"
    second.write_text(json.dumps(names))
    make_bundle(folder / "run", folder / "second", "shop")
    (folder / "now").symlink_to(first)
    return folder


@pytest.fixture(scope="module")
def server(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(bundles / "now", tmp_path_factory.mktemp("served"))
    yield served
    served.process.terminate()
    assert served.process.wait(30) == 0, served.told()


def test_answers_over_http_are_those_in_python(server: Served, bundles: Path) -> None:
    recommender = Recommender.load(bundles / "first")
    ids = recommender.catalog.item_ids[1:]
    for history in ([], ids[:1], ids[3:9], ids):
        for model in ("distilled", "student"):
            _, answer = server.ask("POST", "/v1/recommend", {"history": history, "top_k": 5, "model": model})
            wanted = Recommender.load(bundles / "first", model).recommend_ids(history, top_k=5)
            assert [item["item_id"] for item in answer["items"]] == [item.item_id for item in wanted]
            assert [item["score"] for item in answer["items"]] == pytest.approx([item.score for item in wanted])
            assert answer["source"] == wanted.source
    _, answer = server.ask("POST", "/v1/recommend", {"history": ids[3:9], "top_k": 2, "because": 2})
    wanted = recommender.recommend_ids(ids[3:9], top_k=2, because=2)
    assert [[one["item_id"] for one in item["because"]] for item in answer["items"]] == [
        [one.item_id for one in item.because] for item in wanted
    ]
    _, answer = server.ask("GET", f"/v1/similar?item_id={ids[0]}&top_k=3")
    assert [item["item_id"] for item in answer["items"]] == [one.item_id for one in recommender.similar(ids[0], 3)]


def test_a_new_bundle_is_served_by_all_workers_and_no_request_is_lost(server: Served, bundles: Path) -> None:
    prints = [Recommender.load(bundles / name).about.fingerprint for name in ("first", "second")]
    assert prints[0] != prints[1]
    assert server.workers() == {prints[0]: 2}
    stop, seen, lost = threading.Event(), set(), []

    def keep_asking() -> None:
        connection = server.connect()
        while not stop.is_set():
            status, answer = server.ask("POST", "/v1/recommend", {"history": [], "top_k": 1}, connection)
            seen.add(answer["bundle"]["fingerprint"]) if status == 200 else lost.append(answer)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    switch(bundles, "second")
    status, answer = server.ask("POST", "/v1/reload")
    assert (status, answer["bundle"]["fingerprint"], answer["previous"]["fingerprint"]) == (200, prints[1], prints[0])
    assert soon(lambda: server.workers() == {prints[1]: 2})
    switch(bundles, "first")
    server.process.send_signal(signal.SIGHUP)
    assert soon(lambda: server.workers() == {prints[0]: 2})
    stop.set()
    for thread in threads:
        thread.join()
    assert (seen, lost) == (set(prints), [])


def switch(bundles: Path, name: str) -> None:
    """Let `now` be another bundle, at once."""
    (bundles / "next").symlink_to(bundles / name)
    (bundles / "next").replace(bundles / "now")


def test_a_broken_bundle_is_refused_and_the_one_before_still_served(server: Served, bundles: Path) -> None:
    before = server.workers()
    broken = shutil.copytree(bundles / "second", bundles / "broken")
    content = bytearray((broken / "item_vectors.npy").read_bytes())
    content[-1] ^= 1
    (broken / "item_vectors.npy").write_bytes(content)
    switch(bundles, "broken")
    status, answer = server.ask("POST", "/v1/reload")
    assert (status, answer["type"]) == (409, "/docs#refused")
    assert "item_vectors.npy" in answer["detail"]
    assert server.workers() == before
    about = json.loads((broken / "bundle.json").read_text())
    (broken / "bundle.json").write_text(json.dumps(about | {"form": 99}))
    status, answer = server.ask("POST", "/v1/reload")
    assert (status, "form 99" in answer["detail"]) == (409, True)
    (broken / "catalog.json").unlink()
    assert server.ask("POST", "/v1/reload")[0] == 409
    switch(bundles, "first")
    assert main(["serve", str(broken), "--port", "0"]) == 2


def test_a_worker_that_dies_is_replaced(server: Served) -> None:
    pids = set(re.findall(r'"worker": (\d+), "message": "serves', server.told()))
    victim = int(sorted(pids)[0])
    os.kill(victim, signal.SIGKILL)
    assert soon(lambda: f"worker {victim} died" in server.told())
    assert soon(lambda: len(set(re.findall(r'"worker": (\d+), "message": "serves', server.told()))) > len(pids))
    assert soon(lambda: sum(server.workers().values()) == 2)


def test_the_log_is_json_and_knows_no_history_and_no_key(server: Served) -> None:
    server.ask("POST", "/v1/recommend", {"history": ["a-secret-item"]})
    assert soon(lambda: '"status": 422' in server.told())
    for line in server.told().splitlines():
        assert json.loads(line)["level"] in ("info", "warning", "error")
    assert "a-secret-item" not in server.told()
    assert KEY not in server.told()


def test_examples_are_training_users_and_what_the_teacher_said(made_run: Path) -> None:
    data = PreparedData.load(made_run / "prepare")
    catalog = Catalog(data.item_ids, data.titles)
    examples = read_examples(made_run, catalog, count=4)
    assert len(examples) == 4
    histories = [
        [data.item_ids[item] for item in data.history(user, int(data.train_ends[user]))]
        for user in range(data.num_users)
    ]
    for example in examples:
        ids = [item.item_id for item in (*example.history, example.next)]
        assert any(history[: len(ids)] == ids for history in histories)
        assert example.teacher
        assert not {item.item_id for item in example.teacher} & set(ids[:-1])
        assert all(item.title == catalog.name(data.item_ids.index(item.item_id)) for item in example.teacher)


def test_there_are_no_examples_without_a_run(bundles: Path, made_run: Path, tmp_path: Path) -> None:
    catalog = Recommender.load(bundles / "first").catalog
    assert read_examples(bundles / "first", catalog) == []
    run = shutil.copytree(made_run, tmp_path / "run")
    about = json.loads((run / "teacher_outputs" / "outputs.json").read_text())
    (run / "teacher_outputs" / "outputs.json").write_text(json.dumps(about | {"data": "other"}))
    assert read_examples(run, catalog) == []
    with pytest.raises(UserError, match="different catalogs"):
        read_examples(made_run, Catalog(["", "x"], ["", "x"]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "70000"], "port: 70000 is out of range"),
        (["--workers", "0"], "workers: 0 is out of range"),
        (["--host", "999.1.1.1", "--port", "0"], "cannot listen on 999.1.1.1"),
        (["--api_key_file", "none"], "api_key_file: cannot read none"),
    ],
)
def test_mistakes_are_told_in_one_line(
    bundles: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(bundles / "first"), *options]) == 2
    assert told in capsys.readouterr().err
