"""The description of the API, made from the routes and the types they answer."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from peerscope import __version__
from peerscope.web.answers import answer
from peerscope.web.api import ANSWERS, DOCUMENTS, PARAMETERS, ROUTES


def describe() -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    schemas, components = msgspec.json.schema_components(
        list(ANSWERS.values()), ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(ANSWERS, schemas, strict=True))
    content_of = {path: {"application/json": {"schema": schema}} for path, schema in schema_of.items()}
    content_of |= {path: {media_type: {"schema": {"type": "string"}}} for path, media_type in DOCUMENTS.items()}
    paths = {}
    for route in ROUTES:
        inside = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
        query = [_parameter(name, "query") for name in PARAMETERS.get(route.path, ())]
        problem = {"description": "Refused", "content": {"application/problem+json": {}}}
        paths[route.path] = {
            "post" if "POST" in (route.methods or ()) else "get": {
                "summary": (route.endpoint.__doc__ or "").strip().splitlines()[0],
                "operationId": route.name.rstrip("_"),
                "parameters": inside + query,
                "responses": {
                    "200": {"description": "Answered", "content": content_of[route.path]},
                    **({"503": schema_answer(schema_of[route.path])} if route.path == "/readyz" else {}),
                    "4XX": problem,
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "peerscope", "version": __version__, "description": "One peer's view of its network."},
        "paths": paths,
        "components": {"schemas": components},
    }


def schema_answer(schema: dict[str, Any]) -> dict[str, Any]:
    """A response of the same shape that says no."""
    return {"description": "Not yet", "content": {"application/json": {"schema": schema}}}


async def openapi(request: Request) -> Response:
    """The description of this API."""
    return answer(describe())


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
