"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True):
    """Why a request was refused."""

    type: str
    title: str
    status: int
    detail: str


def problem(status: int, detail: str) -> Response:
    """A problem document of the generic type: the status says it all."""
    body = Problem("about:blank", HTTPStatus(status).phrase, status, detail)
    return Response(msgspec.json.encode(body), status, media_type=MEDIA_TYPE)


async def on_http_error(request: Request, error: Exception) -> Response:
    """What a route refused."""
    assert isinstance(error, HTTPException)
    response = problem(error.status_code, error.detail or "")
    response.headers.update(error.headers or {})
    return response
