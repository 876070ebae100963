"""Everything of one worker put together: an ASGI application and the handles that its server needs."""

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from recdistill.web.api import Api
from recdistill.web.edge import Edge, Hot
from recdistill.web.limits import SMALL_BODY
from recdistill.web.logs import RequestLog
from recdistill.web.metrics import Metrics
from recdistill.web.openapi import schema_of, schema_page
from recdistill.web.pages import POLICY
from recdistill.web.reload import Reloader
from recdistill.web.routes import FastRoutes
from recdistill.web.schemas import BatchRequest, RecommendRequest
from recdistill.web.served import Served, load_served
from recdistill.web.settings import ServeSettings

COLLECT = (20_000, 50, 50)
"""Thresholds of Python's garbage collector: requests leave no cycles, so it need not look after every few of them."""


class Application:
    """An ASGI application.

    Args:
        settings: what it does.
        load: loads what is served; again for each reload.
        tell_others: makes other workers reload too.

    Raises:
        UserError: what is to be served is not usable.
    """

    def __init__(
        self,
        settings: ServeSettings,
        load: Callable[[], Served] | None = None,
        tell_others: Callable[[], None] = lambda: None,
    ) -> None:
        load = load or partial(load_served, settings.source, settings.approximate)
        self.welcome = True
        self.metrics = Metrics()
        self.api = Api(load(), self.metrics)
        self.metrics.serves(self.api.served.bundle)
        self.reloader = Reloader(self.api, load, tell_others)
        self._reloads: set[asyncio.Task[None]] = set()
        on_request = self.reloader.on_request if settings.api_key else None
        self.fast = FastRoutes(self.api, on_request, lambda: self.welcome).app
        self.schema = schema_of(self.fast, bool(settings.api_key))
        self._add_schema()
        hot = {
            "/v1/recommend": Hot(RecommendRequest, SMALL_BODY, self.api.recommend),
            "/v1/recommend/batch": Hot(BatchRequest, settings.max_body, self.api.recommend_batch),
        }
        paths = {path: path for path in (*self.schema["paths"], "/", "/docs", "/openapi.json")}
        log = RequestLog(None if settings.quiet else sys.stderr.fileno())
        self.edge = Edge(self.fast, hot, paths, settings.api_key, settings.timeout, self.metrics, log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: requests, and the beginning and end of the server."""
        if scope["type"] == "http":
            await self.edge(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"{scope['type']} is not served")

    async def _live(self, receive: Receive, send: Send) -> None:
        """Take SIGHUP from the server's start to its end."""
        await receive()
        if threading.current_thread() is threading.main_thread():  # No other gets signals.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload_soon)
        # What is there now stays: collections need not look at it, and answers do not wait for them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.api.slow.close()
        await send({"type": "lifespan.shutdown.complete"})

    def reload_soon(self) -> None:
        """Reload beside the requests."""
        task = asyncio.ensure_future(self.reloader.on_signal())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _add_schema(self) -> None:
        """Serve the schema, as JSON and as a page."""
        content, page = to_json(self.schema), schema_page(self.schema)

        async def schema() -> Response:
            return Response(content, media_type="application/json")

        async def docs() -> Response:
            return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})

        added: dict[str, Any] = {"include_in_schema": False}
        self.fast.add_api_route("/openapi.json", schema, **added)
        self.fast.add_api_route("/docs", docs, **added)
