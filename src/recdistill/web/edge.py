"""The outermost layer: every request passes here, and the frequent ones are answered here, past FastAPI.

FastAPI spends several times what the model does on a request. So requests with a body go from here straight to
`api.py`, by the same schemas that FastAPI documents; all others go through FastAPI.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recdistill.errors import UserError
from recdistill.web.api import Reply
from recdistill.web.bodies import CLOSE, Disconnected, check_media_type, parse, read_body
from recdistill.web.logs import RequestLog
from recdistill.web.metrics import Metrics
from recdistill.web.openapi import KEYED
from recdistill.web.problems import INTERNAL, MEDIA_TYPE, Problem

logger = logging.getLogger("recdistill.serving")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
CLOSED: Final = ((b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),)
UNCACHED: Final = ((b"cache-control", b"no-store"),)
JSON: Final = ((b"content-type", b"application/json"), SAFE[0], *UNCACHED)
"""Of the frequent answers: no browser takes JSON for a page once it is told not to guess, so the rest can be left out;
uvicorn checks each header by two regular expressions."""


class Hot(NamedTuple):
    """A path that is answered past FastAPI.

    Attributes:
        schema: of its body.
        most: bytes of its body.
        answer: what answers it.
    """

    schema: type[BaseModel]
    most: int
    answer: Callable[[Any], Awaitable[Reply]]


class Seen:
    """What is known of one request, for its log line and its metrics."""

    def __init__(self, scope: Scope, number: str, paths: Mapping[str, str]) -> None:
        self.started = perf_counter()
        self.status, self.histories, self.bundle = 0, 0, ""
        self.reading = self.begun = False  # the body, the answer
        self.method: str = scope["method"]
        path = scope["path"]
        self.path = paths.get(path, "/page" if path.startswith("/page/") else "other")
        self.headers = dict(scope["headers"])
        given = self.header(b"x-request-id")
        self.id = given if REQUEST_ID.fullmatch(given) else number

    def header(self, name: bytes) -> str:
        """A header of the request; empty where it is not there."""
        return str(self.headers.get(name, b"").decode("latin-1"))


class Edge:
    """Keys, deadlines, headers, metrics and the log around everything.

    Args:
        inner: FastAPI's application.
        hot: paths that are answered past it (POST).
        paths: all documented paths; others are counted as one.
        key: the API key; empty: nobody is asked for one.
        timeout: seconds for a request.
        metrics: where requests are counted.
        log: where they are logged.
    """

    def __init__(
        self,
        inner: ASGIApp,
        hot: Mapping[str, Hot],
        paths: Mapping[str, str],
        key: str,
        timeout: float,
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self.inner, self.hot, self.paths, self.timeout = inner, hot, paths, timeout
        self.metrics, self.log = metrics, log
        self._key = hashlib.sha256(key.encode()).digest() if key else b""
        self._prefix, self._count = os.urandom(6).hex(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._count += 1
        seen = Seen(scope, f"{self._prefix}-{self._count:x}", self.paths)
        try:
            await self._answer(seen, scope, receive, send)
        except Disconnected:
            seen.status = 499
        except Problem as problem:
            await self._refuse(seen, problem, send)
        except UserError as error:
            await self._refuse(seen, Problem("invalid", str(error)), send)
        except TimeoutError:
            await self._refuse(seen, self._late(seen), send)
        except Exception:
            logger.exception("request %s failed", seen.id)
            await self._refuse(seen, Problem("internal", INTERNAL), send)
        finally:
            seconds = perf_counter() - seen.started
            self.metrics.requested(seen.path, seen.status, seconds)
            self._write(seen, seconds)

    async def _answer(self, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        if self._key and scope["path"].startswith(KEYED):
            self._authorise(seen.header(b"authorization"))
        hot = self.hot.get(scope["path"]) if seen.method == "POST" else None
        async with asyncio.timeout(self.timeout):
            if hot is None:
                await self._pass_on(seen, scope, receive, send)
                return
            check_media_type(seen.header(b"content-type"))
            seen.reading = True
            body = await read_body(receive, seen.header(b"content-length"), hot.most)
            seen.reading = False
            reply = await hot.answer(parse(hot.schema, body))
        seen.histories, seen.bundle = reply.histories, reply.bundle
        headers = [*JSON, (b"server-timing", reply.timing.encode())]
        await self._send(seen, 200, headers, reply.content, send)

    async def _pass_on(self, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        """Let FastAPI answer, and add what all answers have."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status, seen.begun = message["status"], True
                headers = message.setdefault("headers", [])
                names = {name for name, _ in headers}
                more = (*SAFE, *CLOSED, *UNCACHED, (b"x-request-id", seen.id.encode()))
                message["headers"] = [*headers, *(one for one in more if one[0] not in names)]
            await send(message)

        scope.setdefault("state", {})["request_id"] = seen.id
        await self.inner(scope, receive, sent)

    async def _refuse(self, seen: Seen, problem: Problem, send: Send) -> None:
        if seen.begun:  # It is too late to say so; the client sees that the answer is cut short.
            return
        own = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        headers = [(b"content-type", MEDIA_TYPE.encode()), *SAFE, *CLOSED, *UNCACHED, *own]
        await self._send(seen, problem.status, headers, problem.content(seen.id), send)

    async def _send(self, seen: Seen, status: int, headers: list[tuple[bytes, bytes]], body: bytes, send: Send) -> None:
        seen.status, seen.begun = status, True
        headers += [(b"content-length", b"%d" % len(body)), (b"x-request-id", seen.id.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if seen.method == "HEAD" else body})

    def _late(self, seen: Seen) -> Problem:
        """What to say of a request that took too long: whose fault it was."""
        if seen.reading:
            return Problem("slow-client", f"the body did not arrive within {self.timeout:g} seconds", CLOSE)
        logger.warning("request %s: given up after %g seconds", seen.id, self.timeout)
        return Problem("timeout", f"not done within {self.timeout:g} seconds")

    def _authorise(self, given: str) -> None:
        """Compare the key in constant time.

        Raises:
            Problem: it is missing or another one.
        """
        scheme, _, key = given.partition(" ")
        same = hmac.compare_digest(hashlib.sha256(key.strip().encode("latin-1")).digest(), self._key)
        if not same or scheme.lower() != "bearer":
            raise Problem("unauthorised", "send the API key as a bearer token", {"WWW-Authenticate": "Bearer"})

    def _write(self, seen: Seen, seconds: float) -> None:
        if self.log.descriptor is None:
            return
        self.log.write(
            request_id=seen.id,
            method=seen.method if seen.method.isalpha() else "?",
            path=seen.path,
            status=seen.status,
            seconds=round(seconds, 6),
            histories=seen.histories,
            bundle=seen.bundle,
        )
