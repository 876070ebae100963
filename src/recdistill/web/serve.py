"""`recdistill serve`: one process that answers, or several behind one socket."""

import os
import socket
from collections.abc import Callable

from recdistill.errors import UserError
from recdistill.web.application import Application
from recdistill.web.logs import set_up_json_logs
from recdistill.web.server import GracefulServer
from recdistill.web.settings import ServeSettings
from recdistill.web.supervisor import Supervisor

BACKLOG = 2048
"""Connections that may wait to be accepted."""


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: what and how.
        announce: told the address, once requests are answered.

    Raises:
        UserError: the address cannot be had, or what is to be served is not usable.
    """
    # A worker is for one core. Libraries read this when they are imported, torch among them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    set_up_json_logs()
    listening = listen(settings)
    address = address_of(listening)
    try:
        if settings.workers > 1:
            Supervisor(settings, listening, lambda: announce(address)).run()
        else:
            server = GracefulServer(Application(settings), settings, on_started=lambda: announce(address))
            server.run([listening])
    finally:
        listening.close()


def listen(settings: ServeSettings) -> socket.socket:
    """A socket that listens at the address.

    Raises:
        UserError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        raise UserError(f"port: cannot listen on {settings.host} port {settings.port} ({error.strerror})") from error
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
