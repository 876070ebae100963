"""One process that answers, until a signal ends it gracefully."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from recdistill.errors import UserError
from recdistill.web.application import Application
from recdistill.web.logs import set_up_json_logs
from recdistill.web.protocol import PatientProtocol
from recdistill.web.settings import ServeSettings

logger = logging.getLogger("recdistill.serving")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 30
"""Seconds that requests in progress have to end."""
KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than load balancers keep theirs, who meet no closed one then."""


class GracefulServer(uvicorn.Server):
    """A server that says that it stops before it does, and whose stopping is no error.

    Args:
        app: what it serves.
        settings: for how long it says so.
        parent: process without which it ends; 0: none.
        on_started: called once it accepts connections.
    """

    def __init__(
        self,
        app: Application,
        settings: ServeSettings,
        parent: int = 0,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                loop="uvloop",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self.application, self.drain = app, settings.drain
        self.parent, self.on_started = parent, on_started
        self._stop_at = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            logger.info("serves %(name)s [%(fingerprint)s]", self.application.api.served.bundle)
            self.on_started()

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop, asked ten times a second."""
        if self._stop_at and time.monotonic() >= self._stop_at:
            self.should_exit = True
        if self.parent and os.getppid() != self.parent:
            logger.error("the parent process has gone; stopping")
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: say that it stops, then stop. Second one: at once."""
        if self.application.welcome:
            logger.info("stopping")
        self.application.welcome = False
        if self._stop_at:
            self.should_exit = self.force_exit = True
        self._stop_at = time.monotonic() + self.drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while serving. uvicorn raises them again afterwards; here, to stop is what was asked."""
        if threading.current_thread() is not threading.main_thread():  # No other gets signals.
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def work(settings: ServeSettings, listening: socket.socket, parent: int, started: Callable[[], None]) -> None:
    """One worker of several, in its own process; exits with 3 where it cannot serve."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until it can reload.
    set_up_json_logs()
    try:
        app = Application(settings, tell_others=lambda: os.kill(parent, signal.SIGHUP))
    except UserError as error:
        logger.error("%s", error)
        sys.exit(3)
    GracefulServer(app, settings, parent, started).run([listening])
