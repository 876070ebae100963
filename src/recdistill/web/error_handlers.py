"""FastAPI's errors as problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from recdistill.errors import UserError
from recdistill.web.problems import INTERNAL, MEDIA_TYPE, Kind, Problem, invalid

KIND_OF_STATUS: Final[Mapping[int, Kind]] = {404: "not-found", 405: "method"}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error with a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return problem_response(error, request.scope["state"].get("request_id", ""))

    async def mistake(request: Request, error: Exception) -> Response:
        return await problem(request, Problem("invalid", str(error)))

    async def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await problem(request, invalid(error.errors()))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = KIND_OF_STATUS.get(error.status_code)
        if kind is None:
            raise error
        return await problem(request, Problem(kind, HTTPStatus(error.status_code).phrase, error.headers))

    async def internal(request: Request, _error: Exception) -> Response:
        return await problem(request, Problem("internal", INTERNAL))

    app.add_exception_handler(Exception, internal)  # It is raised again, for the log.
    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(UserError, mistake)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(HTTPException, of_http)


def problem_response(problem: Problem, request_id: str) -> Response:
    """A problem as an answer."""
    return Response(problem.content(request_id), problem.status, problem.headers, MEDIA_TYPE)
