"""FastAPI's side: the schema of all paths, the paths that are not in a hurry, and errors as problems."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Response
from fastapi.responses import JSONResponse

from recdistill.version import __version__
from recdistill.web import limits, schemas
from recdistill.web.api import Api, Reply
from recdistill.web.error_handlers import add_error_handlers
from recdistill.web.pages import add_pages
from recdistill.web.problems import MEDIA_TYPE, PROBLEMS, Kind, Problem

TAGS: Final = [
    {"name": "recommend", "description": "The items to come next after a history."},
    {"name": "catalog", "description": "Items, titles, and what is served."},
    {"name": "operations", "description": "For who runs the server."},
]
BODY: Final[tuple[Kind, ...]] = ("malformed", "slow-client", "too-large", "media-type", "invalid", "unknown-item")
ALWAYS: Final[tuple[Kind, ...]] = ("unauthorised", "internal", "busy", "timeout")

TopK = Annotated[int, Query(ge=1, le=limits.TOP_K, description="Items in the answer.")]
Search = Annotated[
    str | None,
    Query(min_length=1, max_length=limits.QUERY, description="A title, words or a part of one, or an id."),
]
Ids = Annotated[list[schemas.ItemId] | None, Query(max_length=limits.ITEM_IDS, description="Ids to name.")]


class FastRoutes:
    """The application as FastAPI sees it.

    Args:
        api: what answers.
        reload: loads the bundle again and says what is served then; None: there is no such path.
        ready: whether new requests are welcome.
    """

    def __init__(self, api: Api, reload: Callable[[], Awaitable[Reply]] | None, ready: Callable[[], bool]) -> None:
        self.api, self.reload, self.ready = api, reload, ready
        self.app = FastAPI(
            title="recdistill",
            version=__version__,
            summary="Recommendations of a distilled student.",
            openapi_tags=TAGS,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
        )
        self._add_recommend()
        self._add_catalog()
        self._add_operations()
        add_pages(self.app)
        add_error_handlers(self.app)

    def _add_recommend(self) -> None:
        api = self.api

        async def recommend(body: schemas.RecommendRequest) -> Response:
            """Recommend the next items after one history."""
            return _response(await api.recommend(body))

        async def recommend_batch(body: schemas.BatchRequest) -> Response:
            """Recommend the next items after each of several histories; one bad history refuses all."""
            return _response(await api.recommend_batch(body))

        self._add("POST", "/v1/recommend", recommend, schemas.RecommendResponse, "recommend", *BODY)
        self._add("POST", "/v1/recommend/batch", recommend_batch, schemas.BatchResponse, "recommend", *BODY)

    def _add_catalog(self) -> None:
        api = self.api

        async def items(
            query: Search = None,
            item_id: Ids = None,
            limit: Annotated[int, Query(ge=1, le=limits.FOUND, description="Items at most.")] = 10,
        ) -> Response:
            """Search items by title, or name items by their ids: give `query` or `item_id`."""
            if (query is None) == (item_id is None):
                raise Problem("invalid", "give query or item_id, and not both")
            return _response(await api.search(query, limit) if query is not None else api.items(item_id or []))

        async def similar(
            item_id: Annotated[schemas.ItemId, Query(description="Id of the item.")], top_k: TopK = 10
        ) -> Response:
            """List the items most similar to one."""
            return _response(await api.similar(item_id, top_k))

        async def about() -> Response:
            """Describe what is served."""
            return _response(api.about())

        async def examples() -> Response:
            """Show training users with the teacher's stored lists, where a run is served."""
            return _response(api.examples())

        self._add("GET", "/v1/items", items, schemas.ItemsResponse, "catalog", "invalid")
        self._add("GET", "/v1/similar", similar, schemas.SimilarResponse, "catalog", "not-found", "invalid")
        self._add("GET", "/v1/about", about, schemas.About, "catalog")
        self._add("GET", "/v1/examples", examples, schemas.ExamplesResponse, "catalog")

    def _add_operations(self) -> None:
        api, ready, reload = self.api, self.ready, self.reload

        async def health() -> Response:
            """Tell that the process runs."""
            return Response(b'{"status":"ok"}', media_type="application/json")

        async def readiness() -> Response:
            """Tell whether requests are welcome; not once the server has been asked to stop."""
            if not ready():
                raise Problem("not-ready", "the server stops")
            return Response(b'{"status":"ready"}', media_type="application/json")

        async def metrics() -> Response:
            """Give counters in Prometheus' text format, of all workers together."""
            return Response(api.metrics.content(api.slow.held), media_type=api.metrics.media_type)

        self._add("GET", "/health", health, schemas.Status, "operations")
        self._add("GET", "/ready", readiness, schemas.Status, "operations", "not-ready")
        text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        self._add("GET", "/metrics", metrics, None, "operations", more=text)
        if reload is not None:

            async def reload_bundle() -> Response:
                """Load the bundle again from its folder, in all workers; requests in progress end with the old one."""
                return _response(await reload())

            self._add("POST", "/v1/reload", reload_bundle, schemas.ReloadResponse, "operations", "refused")

    def _add(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Any],
        answer: Any,
        tag: str,
        *kinds: Kind,
        more: Mapping[int | str, dict[str, Any]] | None = None,
    ) -> None:
        """Register one path with its answer and its problems."""
        responses: dict[int | str, dict[str, Any]] = dict(more or {})
        for kind in dict.fromkeys((*kinds, *ALWAYS)):
            told = PROBLEMS[kind]
            before = responses.get(told.status)
            said = f"{before['description']}; {told.title.lower()}" if before else told.title
            content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
            responses[told.status] = {"description": said, "content": content}
        self.app.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_model=answer,
            response_class=Response if answer is None else JSONResponse,
            responses=responses,
            tags=[tag],
        )


def _response(reply: Reply) -> Response:
    headers = {"Server-Timing": reply.timing} if reply.timing else {}
    return Response(reply.content, media_type="application/json", headers=headers)
