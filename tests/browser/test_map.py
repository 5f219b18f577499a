"""What the map says of the shape of a network, and how it follows: an agent whose ledger is told of everybody."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from ledgers import GOOD, IDENTITIES, Book
from live import Agent, running
from pages import drawn, keep, until
from peerscope.records.bodies import LinkReading, OverlayLink, Profile, Report
from peerscope.records.identity import ref

pytestmark = pytest.mark.browser
LONG_MS = 600_000
NEIGHBOURS = {0: (1, 2, 3), 1: (0, 2, 3), 2: (0, 1, 3), 3: (0, 1, 2, 4), 4: (3, 5)}
NEIGHBOURS |= {5: (4, 6, 7, 8), 6: (5, 7, 8), 7: (5, 6, 8), 8: (5, 6, 7)}
"""Two groups that hang together by 3, 4 and 5. With the agent and a node that nobody monitors eleven are on the map."""


@pytest.fixture
def agent(tmp_path: Path, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path, web={"update_interval_s": 0.2}) as agent:
        agent.loop.call(lambda: [tell(agent, number, NEIGHBOURS[number]) for number in NEIGHBOURS])
        yield agent


def tell(agent: Agent, number: int, neighbours: tuple[int, ...]) -> None:
    book, now = Book(agent.monitor.peer.ledger, IDENTITIES), agent.monitor.snapshot().now
    node = {"node": "yggdrasil", "node_id": f"ygg{number}"}
    book.say(number, Profile((f"10.0.0.{number}:1",), "west" if number < 5 else "east", "1.0", 0, **node), at=now)
    links = tuple(LinkReading(ref(book[other]), 20_000, 0) for other in neighbours)
    overlay = (OverlayLink("ygg1", 7000), OverlayLink("far-away", None)) if number == 0 else ()
    book.say(number, Report(LONG_MS, (GOOD,) * 5, links, 0, None, overlay), at=now)


def test_cut_points_hollow_nodes_and_the_nodes_own_links_are_on_the_map(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(agent.http)
    until(page, "window.peerscope?.map?.report().cutPoints === 3")
    until(page, "window.peerscope.map.report().hollow === 1")
    expect(page.get_by_test_id("map-notes")).to_contain_text("3 cut points")
    expect(page.locator(".legend")).to_contain_text("cut point")
    expect(page.locator(".legend")).to_contain_text("unmonitored")
    until(page, "window.peerscope.map.report().settled")
    page.wait_for_timeout(500)
    keep(page, "cut-points.png")
    layers = "[...new Set(window.peerscope.map.links().map((link) => link.layer))].sort().join()"
    assert page.evaluate(layers) == "mesh,yggdrasil"
    page.get_by_label("Layer of links").select_option("yggdrasil")
    until(page, f"{layers} === 'yggdrasil' && window.peerscope.map.links().length === 2")
    page.get_by_label("Layer of links").select_option("")
    until(page, f"{layers} === 'mesh,yggdrasil'")


def test_the_others_stay_where_they_are_when_a_peer_comes(agent: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(agent.http)
    until(page, "window.peerscope?.map?.drawn().length === 11 && window.peerscope.map.report().settled")
    page.wait_for_timeout(500)
    before = {peer["id"]: (peer["x"], peer["y"]) for peer in drawn(page)}
    agent.loop.call(tell, agent, 9, (0, 1))
    until(page, "window.peerscope.map.drawn().length === 12 && window.peerscope.map.report().settled")
    page.wait_for_timeout(500)
    moved = [
        abs(peer["x"] - x) + abs(peer["y"] - y)
        for peer in drawn(page)
        for x, y in [before.get(peer["id"], (peer["x"], peer["y"]))]
    ]
    assert median(moved) < 20
    assert max(moved) < 120


def test_after_a_missing_message_the_page_asks_for_everything_anew(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(agent.http)
    connections: list[int] = []

    def losing(route: WebSocketRoute) -> None:
        """Passes everything on but the third message of the first connection."""
        connections.append(0)
        mine, server = len(connections) - 1, route.connect_to_server()

        def forward(text: str | bytes) -> None:
            connections[mine] += 1
            if (mine, connections[mine]) != (0, 3):
                route.send(text)

        server.on_message(forward)

    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.route_web_socket("**/dashboard", losing)
    page.reload()
    state = page.get_by_test_id("feed-state")
    expect(state).to_have_attribute("data-state", "live", timeout=30_000)
    for _ in range(100):
        if len(connections) == 2 and connections[1] > 1:
            break
        page.wait_for_timeout(100)
    assert len(connections) == 2, json.dumps(connections)
    assert any("expected message" in line for line in said)
    expect(state).to_have_attribute("data-state", "live", timeout=30_000)
    until(page, "window.peerscope.map.drawn().length === 11")
