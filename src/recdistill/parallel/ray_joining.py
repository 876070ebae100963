"""Join a Ray cluster that runs, or start one on this machine, and leave no trace of that in this process."""

import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recdistill.errors import UserError
from recdistill.interruption import SIGNALS

ADDRESS = "RAY_ADDRESS"
"""Environment variable that names a cluster; without it, one is started on this machine and stopped at the end."""
SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "1", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
"""Environment variables: no reports to its makers, and none of its lines on stdout, where it tells of lost workers."""
LOOPBACK_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Environment variable; "0" says that no other machine will join, so that Ray listens on loopback alone."""
REACH_SECONDS = 10.0
SHARED_MEMORY = 256 * 2**20
"""Bytes for results that were not fetched yet, on a cluster that is started here."""


class JoinedCluster:
    """The cluster that :data:`ADDRESS` names, or else one of this machine.

    Args:
        cpus: of a cluster of this machine.

    Attributes:
        ray: the library.

    Raises:
        UserError: it cannot be reached or joined.
    """

    def __init__(self, cpus: int) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        os.environ |= SILENT  # Ray reads them when it is imported, and so do its processes.
        address = os.environ.get(ADDRESS, "")
        if address:
            _check_address(address)
        named = {} if address else self._own_cluster(cpus)
        with _own_signals():
            import ray

            self.ray: Any = ray
            try:
                ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **named)
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:  # it has no one class for it
                self.leave()
                told = (str(error).splitlines() or [""])[0]
                raise UserError(f"ray: {address or 'local'}: cannot be joined ({told[:200]})") from error

    def leave(self) -> None:
        """Stop what of this process's still runs, and a cluster that was started here."""
        self.ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()

    def _own_cluster(self, cpus: int) -> dict[str, Any]:
        """What a cluster of this machine is started with: nobody else reaches it, or knows its secret."""
        # Ray reads a secret once.
        own = {LOOPBACK_ALONE: "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ |= own | os.environ
        self._folder = tempfile.TemporaryDirectory(prefix="recdistill-", ignore_cleanup_errors=True)
        return {
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": SHARED_MEMORY,
            "_temp_dir": self._folder.name,
        }


def _check_address(address: str) -> None:
    """Look whether anything answers there; Ray itself would try for minutes.

    Raises:
        UserError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if "/" in address or not host or not port.isdigit():
        told = "is neither HOST:PORT nor auto (the cluster that runs on this machine)"
        raise UserError(f"{ADDRESS}: {address} {told}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(f"{ADDRESS}: {address}: no cluster can be reached there ({error})") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts a handler of its own in the place of SIGTERM's; ours comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
