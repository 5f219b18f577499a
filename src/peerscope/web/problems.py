"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


def problem(status: int, detail: str) -> Response:
    """A problem document of the generic type: the status says it all."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


async def on_http_error(request: Request, error: Exception) -> Response:
    """What a route refused."""
    assert isinstance(error, HTTPException)
    response = problem(error.status_code, error.detail or "")
    response.headers.update(error.headers or {})
    return response
