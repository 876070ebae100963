"""The page at `/` and its files: plain files of the package, nothing from elsewhere."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from recdistill.web.problems import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of pages. Whatever a title holds, no browser takes it for a script, a style or an address."""
SCRIPTS = ("app.js", "history.js", "lists.js", "search.js", "server.js", "state.js", "words.js")
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(SCRIPTS, "text/javascript; charset=utf-8"),
}
"""The files there are, with their media types."""


def add_pages(app: FastAPI) -> None:
    """Serve the page; it stands outside of the schema."""

    async def index(request: Request) -> Response:
        return page_file("index.html", request.headers.get("if-none-match", ""))

    async def file(name: str, request: Request) -> Response:
        if name not in TYPES:
            raise Problem("not-found", "there is no such file")
        return page_file(name, request.headers.get("if-none-match", ""))

    app.add_api_route("/", index, include_in_schema=False)
    app.add_api_route("/page/{name}", file, include_in_schema=False)


def page_file(name: str, held: str) -> Response:
    """A file of the page; empty with status 304 where the browser holds it, as `held` (If-None-Match) says."""
    content, tag = _read(name)
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if held == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=TYPES[name], headers=headers)


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = (files("recdistill.web") / "page" / name).read_bytes()
    return content, f'"{sha256(content).hexdigest()[:16]}"'
