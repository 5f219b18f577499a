"""The page applies changes of the feed, and reloads itself when its agent was upgraded."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from feeds import Moment, played
from live import Agent, running

pytestmark = pytest.mark.browser
VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    "peers": {
        "status": ("healthy", "down"),
        "region": (None, "eu", "us"),
        "rtt_s": (None, 0.0, 0.045),
        "links": (0, 2),
        "heard_at": (None, 100),
        "accused_by": (0, 3),
        "gone_since": (None, 7.5),
    },
    "links": {"rtt_s": (None, 0.0, 0.2), "estimated": (False, True)},
    "alerts": {"state": ("firing", "pending"), "incident": (None, "i"), "flapping": (False, True)},
}
REQUIRED: dict[str, dict[str, str]] = {
    "peers": {"status": "healthy", "verdict": "alive"},
    "links": {},
    "alerts": dict.fromkeys(("rule", "severity", "title", "description", "state"), "x"),
}
KEYS: dict[str, tuple[Any, ...]] = {
    "peers": ("a", "b", "c"),
    "links": (("a", "b", "mesh"), ("b", "c", "mesh"), ("a", "b", "overlay")),
    "alerts": ("x", "y"),
}
APPLY = """async (messages) => {
  const state = await import("/static/state.js?apart"); // the page's own feed does not reach this copy
  const tables = () => Object.fromEntries(["peers", "links", "alerts"].map((name) =>
    [name, Object.fromEntries([...state.live[name].value].sort())]));
  for (const message of messages) state.apply(message);
  return tables();
}"""


@pytest.fixture
def agent(tmp_path: Path, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path, web={"update_interval_s": 0.2}) as agent:
        yield agent


def history(rng: Random) -> list[Moment]:
    """Rows that come and go, and values that change and return."""
    return [
        {
            table: {
                key: REQUIRED[table] | {name: rng.choice(values) for name, values in VALUES[table].items()}
                for key in KEYS[table]
                if rng.random() < 0.7
            }
            for table in KEYS
        }
        for _ in range(6)
    ]


def test_the_page_makes_of_changes_what_it_makes_of_a_fresh_snapshot(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(agent.http)
    for seed in range(30):
        wire = played(history(Random(seed)))
        start = wire[0][0]
        for at in range(1, len(wire)):
            changes = [changes for _, changes in wire[1 : at + 1]]
            followed = page.evaluate(APPLY, [start, *changes])
            fresh = page.evaluate(APPLY, [wire[at][0]])
            assert followed == fresh, f"seed {seed}, message {at}"
            assert len(fresh["peers"]) == len(wire[at][0]["data"]["peers"])


def test_the_page_reloads_itself_when_its_agent_was_upgraded(agent: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(agent.http)
    connections: list[int] = []
    loads: list[str] = []

    def upgrading(route: WebSocketRoute) -> None:
        """Ends the first connection after two messages; all later ones are with an agent of another version."""
        connections.append(0)
        mine, server = len(connections) - 1, route.connect_to_server()

        def forward(text: str | bytes) -> None:
            connections[mine] += 1
            if mine == 0 and connections[mine] > 2:
                route.close()
                return
            message = json.loads(text)
            if mine > 0:
                message["data"]["self"]["version"] = "9.9.9"
            route.send(json.dumps(message))

        server.on_message(forward)

    page.route_web_socket("**/dashboard", upgrading)
    page.reload()
    page.on("load", lambda loaded: loads.append(loaded.url))
    for _ in range(300):
        if len(connections) == 3 and connections[2] > 3:
            break
        page.wait_for_timeout(100)
    assert len(connections) == 3, json.dumps(connections)  # the reload connects anew, and stays
    assert len(loads) == 1
    expect(page.get_by_test_id("feed-state")).to_have_attribute("data-state", "live", timeout=30_000)
