"""Errors as RFC 9457 has them: JSON with a type, a title, a status and what was wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import ErrorDetails, to_json

Kind = Literal[
    "malformed",
    "unauthorised",
    "not-found",
    "method",
    "slow-client",
    "too-large",
    "media-type",
    "invalid",
    "unknown-item",
    "refused",
    "internal",
    "busy",
    "not-ready",
    "timeout",
]


class Told(NamedTuple):
    """Status and title of a kind of problem, and what a client can do about it."""

    status: int
    title: str
    help: str


PROBLEMS: Final[dict[Kind, Told]] = {
    "malformed": Told(400, "Malformed request", "Send a JSON text (RFC 8259)."),
    "unauthorised": Told(401, "API key required", "Send `Authorization: Bearer KEY`."),
    "not-found": Told(404, "Not found", "See the paths and ids that there are."),
    "method": Told(405, "Method not allowed", "The header Allow names the methods of this path."),
    "slow-client": Told(408, "Request incomplete", "The request did not arrive in time; send it again."),
    "too-large": Told(413, "Content too large", "Send fewer histories at a time."),
    "media-type": Told(415, "Unsupported media type", "Send `Content-Type: application/json` in UTF-8."),
    "invalid": Told(422, "Invalid request", "`errors` names each field, as a JSON pointer, and its reason."),
    "unknown-item": Told(422, "Unknown item", 'Leave the item out, or send `"unknown": "skip"`.'),
    "refused": Told(409, "Reload refused", "The bundle is not usable; the one before is still served."),
    "internal": Told(500, "Internal error", "Tell the operator the request id; the log has the cause."),
    "busy": Told(503, "Busy", "Send the request again after the seconds that Retry-After names."),
    "not-ready": Told(503, "Not ready", "The server starts or stops."),
    "timeout": Told(504, "Timed out", "Send fewer histories at a time."),
}
MEDIA_TYPE: Final = "application/problem+json"
INTERNAL: Final = "the server made a mistake; its log has more"
MOST_ERRORS: Final = 10
"""Fields that one answer names."""


class Problem(Exception):  # noqa: N818 (the RFC's word)
    """A request that is answered with an error.

    Attributes:
        kind: which one, see :data:`PROBLEMS`.
        detail: what was wrong this time, for a person; never anything of a history but what the client itself sent.
        headers: more headers of the answer.
        errors: fields that were wrong, each with `pointer` (JSON pointer into the body, or the parameter) and `detail`.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.headers, self.errors = kind, detail, dict(headers or {}), list(errors)

    @property
    def status(self) -> int:
        """Status of the answer."""
        return PROBLEMS[self.kind].status

    def content(self, request_id: str) -> bytes:
        """Body of the answer."""
        body: dict[str, Any] = {
            "type": f"/docs#{self.kind}",
            "title": PROBLEMS[self.kind].title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        return to_json(body | ({"errors": self.errors} if self.errors else {}))


def invalid(errors: Sequence[ErrorDetails | Mapping[str, Any]]) -> Problem:
    """The problem that pydantic's errors amount to; values are not repeated."""
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem("malformed", f"the body is no JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}")
    told = [{"pointer": pointer(error["loc"]), "detail": str(error["msg"])} for error in errors[:MOST_ERRORS]]
    more = f" and {len(errors) - MOST_ERRORS} more" if len(errors) > MOST_ERRORS else ""
    count = "a field is" if len(errors) == 1 else "fields are"
    return Problem("invalid", f"{count} wrong: {', '.join(one['pointer'] for one in told)}{more}", errors=told)


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) as a URI fragment; a parameter of the query by its name."""
    if location and location[0] in ("query", "path", "header"):
        return str(location[1]) if len(location) > 1 else str(location[0])
    parts = location[1:] if location and location[0] == "body" else location
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
