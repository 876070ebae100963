"""Bodies of requests: read in full within limits of size and time, then checked against their schema."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recdistill.web.problems import Problem, invalid

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
M = TypeVar("M", bound=BaseModel)
CLOSE = {"Connection": "close"}
"""After a body that was not read to its end, nothing else can come on the connection."""


class Disconnected(Exception):  # noqa: N818 (nobody's mistake)
    """The client has gone before its request was read."""


def check_media_type(value: str) -> None:
    """Refuse what is not JSON in UTF-8.

    Raises:
        Problem: it is not, or nothing says what it is.
    """
    if value == "application/json":
        return
    kind, *parameters = (part.strip().lower() for part in value.split(";"))
    others = [one for one in parameters if one and one.replace('"', "") not in ("charset=utf-8", "charset=utf8")]
    if kind != "application/json" or others:
        raise Problem("media-type", "the body must be application/json in UTF-8", CLOSE)


async def read_body(receive: Receive, length: str, most: int) -> bytes:
    """A body in full.

    Args:
        receive: of ASGI.
        length: value of Content-Length; empty where the body comes in chunks.
        most: bytes.

    Raises:
        Problem: it is too large.
        Disconnected: the client has gone.
    """
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    held, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        held += len(part)
        if held > most:
            raise _too_large(most)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body has more than {most} bytes", CLOSE)


def parse(schema: type[M], body: bytes) -> M:
    """A body as its schema has it.

    Raises:
        Problem: it is no JSON, or does not fit.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None
