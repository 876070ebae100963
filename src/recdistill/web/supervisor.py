"""Several workers behind one socket: started, replaced when one dies, told to reload, stopped together."""

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from recdistill.errors import UserError
from recdistill.web.metrics import FOLDER_VARIABLE
from recdistill.web.server import GRACE, SIGNALS, work
from recdistill.web.settings import ServeSettings

logger = logging.getLogger("recdistill.serving")

PATIENCE = GRACE + 5
"""Seconds after which a worker that was asked to stop is killed."""
PAUSE = 1.0
"""Seconds before a worker that died is replaced."""


class Worker:
    """One process that answers, and the pipe by which it says that it does."""

    def __init__(self, settings: ServeSettings, listening: socket.socket) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready = False
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(
            target=_work, args=(settings, listening, os.getpid(), theirs), daemon=False
        )
        self.process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.is_alive()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.alive and self.process.pid is not None:
            os.kill(self.process.pid, number)


def _work(settings: ServeSettings, listening: socket.socket, parent: int, pipe: Connection) -> None:
    work(settings, listening, parent, lambda: pipe.send(True))


class Supervisor:
    """Runs the workers until SIGTERM or SIGINT; passes SIGHUP on to them.

    Args:
        settings: of the workers.
        listening: the socket that all of them accept from.
        announce: called once all workers answer.
    """

    def __init__(self, settings: ServeSettings, listening: socket.socket, announce: Callable[[], None]) -> None:
        self.settings, self.listening, self.announce = settings, listening, announce
        self.workers: list[Worker] = []
        self.stopping = self.announced = False

    def run(self) -> None:
        """Run until a signal comes.

        Raises:
            UserError: a worker could not begin to serve; its log line says why.
        """
        folder = tempfile.mkdtemp(prefix="recdistill-metrics-")
        os.environ[FOLDER_VARIABLE] = folder
        taken = {signal.SIGHUP: self._on_reload, **dict.fromkeys(SIGNALS, self._on_stop)}
        before: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in taken.items()}
        try:
            self.workers = [Worker(self.settings, self.listening) for _ in range(self.settings.workers)]
            while not self.stopping:
                wait([*(one.process.sentinel for one in self.workers), *self._unready_pipes()], timeout=0.5)
                self._look()
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
            del os.environ[FOLDER_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)

    def _unready_pipes(self) -> list[Connection]:
        return [one.pipe for one in self.workers if not one.ready and not one.pipe.closed]

    def _look(self) -> None:
        """Notice who answers, and replace who died."""
        for place, worker in enumerate(self.workers):
            if not worker.ready and not worker.pipe.closed and worker.pipe.poll():
                worker.ready = _received(worker.pipe)
            if worker.alive or self.stopping:
                continue
            if not worker.ready:
                raise UserError("a worker could not start; its log line says why")
            logger.error("worker %s died (exit code %s); replacing it", worker.process.pid, worker.process.exitcode)
            mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
            time.sleep(PAUSE)
            self.workers[place] = Worker(self.settings, self.listening)
        if not self.announced and all(worker.ready for worker in self.workers):
            self.announced = True
            self.announce()

    def _stop(self) -> None:
        """Ask all workers to stop, wait for them, and kill who does not."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE + self.settings.drain
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.alive:
                logger.error("worker %s does not stop; it is killed", worker.process.pid)
                worker.process.kill()
                worker.process.join()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        for worker in self.workers:
            if worker.ready:
                worker.signal(signal.SIGHUP)


def _received(pipe: Connection) -> bool:
    """Whether a worker said that it answers; it closed the pipe where it died before."""
    try:
        return bool(pipe.recv())
    except EOFError:
        return False
    finally:
        pipe.close()
