"""The description of the API, made from the routes and the types they answer."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope import __version__
from peerscope.web.answers import MEDIA_TYPE, PAGE_MAX, Problem, answer
from peerscope.web.api import ANSWERS, BODIES, DOCUMENTS, PARAMETERS, ROUTES, STATUSES
from peerscope.web.guard import SAFE_METHODS

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
    "cursor": {"type": "string", "description": "Taken from the Link header of the page before."},
    "by": {"type": "string", "enum": ["region", "peer"], "default": "region"},
    "clusters": {"type": "string", "enum": ["0", "1"], "default": "0"},
    "since": DURATION
    | {"pattern": "^([1-9][0-9]{0,8}[smhd]|[0-9]{1,12})$", "description": "So long ago, or Unix seconds."},
    "step": DURATION | {"description": "No finer than this."},
}
"""Parameters by name; those that are not listed are text."""
CHANGES = "Without a token: from the agent's own machine only, and from a browser with the header `X-Peerscope: 1`."
TOKEN = {"type": "http", "scheme": "bearer", "description": "Where web.token is set."}


def describe() -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    kinds = [*ANSWERS.values(), *(body.kind for body in BODIES.values()), Problem]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    answers = dict(zip(ANSWERS, schemas, strict=False))
    bodies = dict(zip(BODIES, schemas[len(ANSWERS) :], strict=False))
    refusal = {MEDIA_TYPE: {"schema": schemas[-1]}}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            key = _key(method, route.path, answers)
            operation = _operation(route, _content(route.path, answers.get(key)), STATUSES.get(key, ()), refusal)
            if method not in SAFE_METHODS:
                operation["description"] = CHANGES
            if method in ("POST", "PUT", "PATCH") and (body := BODIES.get(route.path)):
                content = {media_type: {"schema": bodies[route.path]} for media_type in body.media_types}
                operation["requestBody"] = {"required": body.is_required, "content": content}
            paths.setdefault(route.path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "peerscope", "version": __version__, "description": "One peer's view of its network."},
        "paths": paths,
        "components": {"schemas": _without_tuples(components), "securitySchemes": {"token": TOKEN}},
        "security": [{}, {"token": []}],
    }


def _without_tuples(schema: Any) -> Any:
    """Arrays whose places differ in type become arrays of any of these types: most readers of OpenAPI documents do not
    know `prefixItems`."""
    if isinstance(schema, list):
        return [_without_tuples(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "prefixItems" in schema:
        schema = {**schema, "items": {"anyOf": schema["prefixItems"]}}
        del schema["prefixItems"]
    return {key: _without_tuples(value) for key, value in schema.items()}


@cache
def _described() -> bytes:
    return msgspec.json.encode(describe())


async def openapi(request: Request) -> Response:
    """The description of this API."""
    return answer(msgspec.Raw(_described()))


def _key(method: str, path: str, known: Any) -> str:
    """A path with several methods has an entry for each, as "POST /path"."""
    return f"{method} {path}" if f"{method} {path}" in known else path


def _content(path: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    if path in DOCUMENTS:
        return {DOCUMENTS[path]: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": schema or {}}}


def _operation(
    route: Route, content: dict[str, Any], statuses: tuple[int, ...], refusal: dict[str, Any]
) -> dict[str, Any]:
    inside = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
    query = [_parameter(name, "query") for name in PARAMETERS.get(route.path, ())]
    responses: dict[str, Any] = {"200": {"description": "Answered", "content": content}}
    for status in statuses:
        either = content | refusal if status >= 400 else content
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": either}
    responses["4XX"] = {"description": "Refused", "content": refusal}
    responses["5XX"] = {"description": "The agent failed", "content": refusal}
    return {
        "summary": (route.endpoint.__doc__ or "").strip().splitlines()[0],
        "operationId": route.name.rstrip("_"),
        "parameters": inside + query,
        "responses": responses,
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    schema = SCHEMAS.get(name, {"type": "string"})
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
