"""Routes with their descriptions, and the OpenAPI document of all routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.routing import Route

from peerscope.host.version import __version__
from peerscope.web.answers import MEDIA_TYPE, PAGE_MAX, Problem
from peerscope.web.guard import SAFE_METHODS
from peerscope.web.limits import BODY_BYTES_MAX

ID = {"type": "string", "pattern": "^[0-9a-fA-F]{0,64}$", "description": "Any unambiguous beginning of a peer's id."}
DURATION = {"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhd]$", "examples": ["90s", "15m", "1h", "30d"]}
SCHEMAS: dict[str, dict[str, Any]] = {
    "id": ID,
    "peer": ID,
    "source": ID,
    "target": ID,
    "name": {
        "type": "string",
        "pattern": r"^[^\x00-\x1f/]{1,160}$",
        "description": "Any unambiguous beginning of an id.",
    },
    "all": {"type": "string", "enum": ["0", "1"], "default": "0"},
    "state": {"type": "string", "enum": ["firing", "resolved", "forgotten", "ended"]},
    "severity": {"type": "string", "enum": ["low", "medium", "high", "critical"]},
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_MAX},
    "cursor": {"type": "string", "description": "From the Link header of the previous page."},
    "by": {"type": "string", "enum": ["region", "peer"], "default": "region"},
    "clusters": {"type": "string", "enum": ["0", "1"], "default": "0"},
    "since": DURATION
    | {"pattern": "^([1-9][0-9]{0,8}[smhd]|[0-9]{1,12})$", "description": "A duration before now, or Unix seconds."},
    "step": DURATION | {"description": "The finest resolution."},
}
"""Schemas of parameters by name; all others are text."""
CHANGES = "Without a token: from the agent's own machine only, and from a browser with the header `X-Peerscope: 1`."
TOKEN = {"type": "http", "scheme": "bearer", "description": "Where web.token is set."}


class Body(Struct, frozen=True):
    """The request body of a route."""

    media_types: tuple[str, ...] = ("application/json",)
    kind: Any = str
    """Type of its content."""
    bytes_max: int = BODY_BYTES_MAX
    is_required: bool = True


class ApiRoute(Route):
    """A route with its description."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Awaitable[Response]],
        answers: Any = None,
        *,
        method: str = "GET",
        query: tuple[str, ...] = (),
        body: Body | None = None,
        statuses: tuple[int, ...] = (),
        media_type: str = "application/json",
    ) -> None:
        """`answers`: type of the JSON answer. `query`: names of parameters. `statuses`: others than 200 with an answer
        of this type."""
        super().__init__(path, endpoint, methods=[method])
        self.method, self.answers, self.media_type = method, answers, media_type
        self.query, self.body, self.statuses = query, body, statuses


def describe(routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    kinds = [Problem, *(route.answers for route in routes if route.answers is not None)]
    kinds += [route.body.kind for route in routes if route.body]
    found, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(kinds, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "peerscope", "version": __version__, "description": "One peer's view of its network."},
        "paths": paths,
        "components": {"schemas": _without_tuples(components), "securitySchemes": {"token": TOKEN}},
        "security": [{}, {"token": []}],
    }


def _without_tuples(schema: Any) -> Any:
    """Turn a tuple into an array of any of its types, since most readers of OpenAPI do not know `prefixItems`."""
    if isinstance(schema, list):
        return [_without_tuples(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "prefixItems" in schema:
        schema = {**schema, "items": {"anyOf": schema["prefixItems"]}}
        del schema["prefixItems"]
    return {key: _without_tuples(value) for key, value in schema.items()}


def _operation(route: ApiRoute, schemas: dict[Any, Any]) -> dict[str, Any]:
    schema = schemas.get(route.answers, {}) if route.media_type == "application/json" else {"type": "string"}
    content, refusal = {route.media_type: {"schema": schema}}, {MEDIA_TYPE: {"schema": schemas[Problem]}}
    responses: dict[str, Any] = {"200": {"description": "Answered", "content": content}}
    for status in route.statuses:
        either = content | refusal if status >= 400 else content
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": either}
    responses["4XX"] = {"description": "Refused", "content": refusal}
    responses["5XX"] = {"description": "The agent failed", "content": refusal}
    inside = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
    operation = {
        "summary": (route.endpoint.__doc__ or "").strip().splitlines()[0],
        "operationId": route.name.rstrip("_"),
        "parameters": inside + [_parameter(name, "query") for name in route.query],
        "responses": responses,
    }
    if route.method not in SAFE_METHODS:
        operation["description"] = CHANGES
    if body := route.body:
        bodies = {media_type: {"schema": schemas[body.kind]} for media_type in body.media_types}
        operation["requestBody"] = {"required": body.is_required, "content": bodies}
    return operation


def _parameter(name: str, place: str) -> dict[str, Any]:
    schema = SCHEMAS.get(name, {"type": "string"})
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
