"""The description of the API is whole, and true of what the agent answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from live import Agent
from peerscope import __version__
from peerscope.web.api import ROUTES

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


@pytest.fixture
def document(web: httpx.Client) -> dict[str, Any]:
    answer = web.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inside in value.values():
            yield from references(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from references(inside)


def resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    place = document
    for part in reference.removeprefix("#/").split("/"):
        place = place[part]
    return place


def assert_conforms(document: dict[str, Any], schema: dict[str, Any], value: Any, where: str = "$") -> None:
    """As much of JSON Schema as our types need."""
    if "$ref" in schema:
        schema = resolve(document, schema["$ref"])
    if "anyOf" in schema:
        fitting = []
        for one in schema["anyOf"]:
            try:
                assert_conforms(document, one, value, where)
            except AssertionError as error:
                fitting.append(str(error))
        assert len(fitting) < len(schema["anyOf"]), f"{where}: fits none of {fitting}"
        return
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), f"{where}: {value!r} is no {schema['type']}"
        assert schema["type"] == "boolean" or not isinstance(value, bool), where
    if isinstance(value, dict):
        assert [key for key in schema.get("required", ()) if key not in value] == [], where
        more = schema.get("additionalProperties", {})
        for key, inside in value.items():
            known = schema.get("properties", {}).get(key, more)
            assert known is not False, f"{where}: {key} is not described"
            assert_conforms(document, known if isinstance(known, dict) else {}, inside, f"{where}.{key}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, inside in enumerate(value):
            assert_conforms(document, schema["items"], inside, f"{where}[{index}]")


def test_it_is_an_openapi_document_of_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert (document["info"]["title"], document["info"]["version"]) == ("peerscope", __version__)
    assert set(document["paths"]) == {route.path for route in ROUTES}


def test_every_operation_is_named_once_summed_up_and_tells_its_answers(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for operation in operations)
    assert all({"200", "4XX"} <= set(operation["responses"]) for operation in operations)
    assert all(answer["description"] for operation in operations for answer in operation["responses"].values())


def parameters_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    operation = item.get("get") or next(iter(item.values()))
    return operation["parameters"]


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        declared = [one["name"] for one in parameters_of(item) if one["in"] == "path" and one["required"]]
        assert [f"{{{name}}}" for name in declared] == [part for part in path.split("/") if part.startswith("{")]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        assert resolve(document, reference)


POSTED = {"/api/v1/leave": {"reason": "a test"}}
"""Bodies of routes that refuse an empty one. Nobody here stops the agent that is asked to leave."""


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES if "{name}" not in route.path}))
def test_what_the_agent_answers_is_what_is_described(
    web: httpx.Client, agent: Agent, document: dict[str, Any], path: str
) -> None:
    item = document["paths"][path]
    method = "get" if "get" in item else next(iter(item))
    operation = item[method]
    given = {"json": POSTED[path], "headers": {"x-peerscope": "1"}} if path in POSTED else {}
    answer = web.request(method, path.replace("{id}", agent.peer_id), **given)  # type: ignore[arg-type]
    described = operation["responses"]["200"]["content"]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert list(described) == [media_type]
    value = answer.json() if media_type == "application/json" else answer.text
    assert_conforms(document, described[media_type]["schema"], value)


def test_every_field_of_an_answer_is_explained_by_its_name_and_listed(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["type"] == "object", name
        assert schema["properties"], name
