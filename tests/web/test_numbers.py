"""Numbers among query parameters: digits 0 to 9 only, whatever the route."""

from typing import Any

import httpx

from live import Agent

FOREIGN = ("٣", "３", "²", "1٣", " 5", "1_0", "+5", "nan")


def numeric(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "integer" or "[0-9]" in schema.get("pattern", "")


def test_every_number_in_a_query_is_refused_in_other_digits(agent: Agent, web: httpx.Client) -> None:
    paths = web.get("/openapi.json").json()["paths"]
    asked = [
        (path.replace("{id}", agent.peer_id), parameter["name"])
        for path, methods in paths.items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["in"] == "query" and numeric(parameter["schema"])
    ]
    assert {name for _, name in asked} >= {"limit", "since", "step"}
    for path, name in asked:
        for text in FOREIGN:
            for unit in ("", "h") if name != "limit" else ("",):
                answer = web.get(path, params={name: text + unit})
                assert answer.status_code == 400, (path, name, text)
                assert f"{name} is " in answer.json()["detail"]
