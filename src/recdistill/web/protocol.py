"""uvicorn's HTTP, with an end to the patience: for the head of a request, in seconds and in bytes."""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recdistill.web.problems import MEDIA_TYPE, Kind, Problem

HEAD_SECONDS = 10.0
"""For the first line and the headers of a request to arrive, and for a new connection to send its first byte."""
HEAD_BYTES = 32 << 10
"""Of the first line and the headers together."""


class PatientProtocol(HttpToolsProtocol):
    """Closes connections that send too little for too long, or too much of a head."""

    _timer: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = 0
        if self._timer is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        """A piece of the first line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse("malformed", "the head is too large" if self._head > HEAD_BYTES else "this is no HTTP request")

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            raise ValueError("the head is too large")  # The parser ends with it, and the connection too.

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._refuse("slow-client", f"no request within {HEAD_SECONDS:g} seconds")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answer with a problem and close; nothing of the request is known."""
        if self.transport.is_closing():
            return
        problem = Problem(kind, detail)
        body = problem.content("")
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
