"""How many requests a second `recdistill serve` answers, how fast, and whether any is lost.

    python benchmarks/load.py runs/demo/bundle                               # beside a bare FastAPI answer
    python benchmarks/load.py runs/demo/bundle --workers 2 --connections 16
    python benchmarks/load.py runs/demo/bundle --seconds 600 --rounds 1 --reload_every 10 --no_bare    # is memory flat?

Servers get one core each where there are enough, the client another one; rounds alternate between the two servers, so
that what else the machine does falls on both. `cpu_us` is the server's own CPU time for one request, which does not
depend on what else runs; latencies do. Each round is one JSON line; a request is lost where its answer is no 200, or
does not come.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.request import Request, urlopen

import psutil
import uvloop

HISTORY, TOP_K = 50, 10
BARE = """
import sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
class Asked(BaseModel):
    history: list[str]
    top_k: int = 10
class Item(BaseModel):
    item_id: str
    title: str
    score: float
class Answer(BaseModel):
    items: list[Item]
app = FastAPI()
@app.post("/v1/recommend")
async def recommend(body: Asked) -> Answer:
    return Answer(items=[Item(item_id=one, title="a title of some length", score=1.5) for one in body.history[:10]])
print(f"http://127.0.0.1:{sys.argv[1]}/", flush=True)
uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="uvloop", access_log=False, log_level="warning")
"""


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the next request when the answer to the last one is whole."""

    def __init__(self, requests: list[bytes], found: "Found", until: float) -> None:
        self.requests, self.found, self.until = requests, found, until
        self.held, self.sent, self.done = b"", 0.0, asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        if time.perf_counter() >= self.until:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(random.choice(self.requests))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, mark, body = self.held.partition(b"\r\n\r\n")
        if not mark or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self.found.seconds.append(time.perf_counter() - self.sent)
        self.found.lost += not head.startswith(b"HTTP/1.1 200")
        self.held, self.sent = b"", 0.0
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        self.found.lost += self.sent > 0
        self.done.set_result(None)


@dataclass
class Found:
    """What one round measured."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0


async def load(port: int, requests: list[bytes], connections: int, seconds: float) -> Found:
    """Keep `connections` busy."""
    found, until = Found(), time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(requests, found, until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    return found


class Server:
    """A server in its own process, on its own cores."""

    def __init__(self, name: str, command: list[str], cores: list[int]) -> None:
        self.name = name
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().decode().strip()
        if not self.address:
            raise SystemExit(f"{name}: did not start")
        self.port = int(self.address.rstrip("/").rpartition(":")[2])
        for process in self._all():
            process.cpu_affinity(cores)

    def _all(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return sum(sum(one.cpu_times()[:2]) for one in self._all())

    def memory_mib(self) -> float:
        """Resident, of all its processes."""
        return sum(one.memory_info().rss for one in self._all()) / (1 << 20)


@contextmanager
def running(options: argparse.Namespace) -> Iterator[list[Server]]:
    """The servers that are compared."""
    cores = sorted(os.sched_getaffinity(0))
    theirs, own = cores[: max(1, min(options.workers, len(cores) - 1))], cores[-1:]
    os.sched_setaffinity(0, own)
    command = [sys.executable, "-m", "recdistill", "serve", options.source, "--port", "0", "--quiet"]
    servers = []
    try:
        servers.append(Server("recdistill", [*command, "--workers", str(options.workers)], theirs))
        if not options.no_bare:
            servers.append(Server("bare FastAPI", [sys.executable, "-c", BARE, "8099"], theirs))
            time.sleep(2)
        if options.fifo:
            for process in (psutil.Process(), *(one for server in servers for one in server._all())):
                os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(5))
        yield servers
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(60)


def requests_of(address: str, batch: int, history: int) -> list[bytes]:
    """A hundred requests with random histories of known items."""
    asked = json.dumps({"history": [], "model": "popularity", "top_k": 1000}).encode()
    call = Request(f"{address}v1/recommend", asked, {"Content-Type": "application/json"})
    with urlopen(call) as answer:
        known = [one["item_id"] for one in json.load(answer)["items"]]
    path = "/v1/recommend/batch" if batch else "/v1/recommend"
    made = []
    for _ in range(100):
        histories = [random.choices(known, k=history) for _ in range(max(batch, 1))]
        body = json.dumps(
            ({"histories": histories} if batch else {"history": histories[0]}) | {"top_k": TOP_K}
        ).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def one_round(server: Server, requests: list[bytes], options: argparse.Namespace) -> dict[str, object]:
    """Load a server once."""
    before = server.cpu_seconds()

    async def reload() -> None:
        while options.reload_every:
            await asyncio.sleep(options.reload_every)
            server.process.send_signal(signal.SIGHUP)

    reloading = asyncio.ensure_future(reload())
    started = time.perf_counter()
    found = await load(server.port, requests, options.connections, options.seconds)
    took = time.perf_counter() - started
    reloading.cancel()
    steps = statistics.quantiles(found.seconds, n=1000) if len(found.seconds) > 1 else found.seconds * 999
    cpu = server.cpu_seconds() - before
    return {
        "server": server.name,
        "requests_per_second": round(len(found.seconds) / took),
        "requests_per_core_second": round(len(found.seconds) / cpu),
        "cpu_us": round(1e6 * cpu / len(found.seconds)),
        "p50_ms": round(1e3 * steps[499], 2),
        "p99_ms": round(1e3 * steps[989], 2),
        "p999_ms": round(1e3 * steps[998], 2),
        "lost": found.lost,
        "requests": len(found.seconds),
        "memory_mib": round(server.memory_mib(), 1),
    }


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="folder of a bundle or of a run")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5, help="for each server")
    parser.add_argument("--connections", type=int, default=8, help="that always have a request under way")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="histories per request; 0: the single form")
    parser.add_argument("--history", type=int, default=HISTORY, help="items per history")
    parser.add_argument("--reload_every", type=float, default=0.0, help="seconds between two reloads; 0: none")
    parser.add_argument("--fifo", action="store_true", help="let nothing else run on the cores meanwhile; needs root")
    parser.add_argument("--no_bare", action="store_true", help="measure recdistill alone")
    options = parser.parse_args()
    random.seed(0)
    with running(options) as servers:
        requests = requests_of(servers[0].address, options.batch, options.history)
        rounds = []
        for _ in range(options.rounds):
            for server in servers:
                rounds.append(uvloop.run(one_round(server, requests, options)))
                print(json.dumps(rounds[-1]), flush=True)
    for server in servers:
        own = [one for one in rounds if one["server"] == server.name]
        names = ("requests_per_second", "requests_per_core_second", "cpu_us", "p50_ms", "p99_ms", "memory_mib")
        medians = {name: statistics.median(one[name] for one in own) for name in names}  # type: ignore[type-var]
        print(json.dumps({"median": server.name, **medians, "lost": sum(one["lost"] for one in own)}))


if __name__ == "__main__":
    main()
