"""The drawer of a peer whose node has links: which ends list each, and which peers reach the node."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from live import Agent, client, running
from peerscope.mesh.dial_back import checksum
from peerscope.mesh.events import Recall
from peerscope.mesh.messages import Aged
from peerscope.records.bodies import Body, Check, DialReading, LinkReading, OverlayLink, Profile, Report
from peerscope.records.identity import Identity, ref
from peerscope.records.record import sign

pytestmark = pytest.mark.browser
IDENTITIES = [Identity(bytes((seed,)) * 32) for seed in range(1, 4)]
NODES = "abc"
LISTS = ("bcx", "a", "b")
ADDRESS = "203.0.113.7:4001"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[Agent]:
    """An agent that knows three peers with nodes, one of which lists a node that does not list it."""
    need("chromium")
    with running(tmp_path_factory.mktemp("nodes")) as agent:

        def say(number: int, body: Body) -> None:
            wall_ms = round(time.time() * 1000)
            record = sign(IDENTITIES[number], body, version=wall_ms, wall_ms=wall_ms)
            agent.loop.call(agent.monitor._driver.feed, Recall((Aged(record, 0),)))

        for number, node in enumerate(NODES):
            addresses = (ADDRESS,) if number == 0 else ()
            say(number, Profile((), "eu", "1", 0, node="ygg", node_id=node, node_addresses=addresses))
        for number, listed in enumerate(LISTS):
            others = (ref(one.peer_id) for one in IDENTITIES if one is not IDENTITIES[number])
            dialled = (DialReading(ref(IDENTITIES[0].peer_id), checksum((ADDRESS,)), (0,), 5),) if number == 1 else ()
            overlay = tuple(OverlayLink(name, 2000) for name in listed)
            links = tuple(LinkReading(other, 1000) for other in others)
            say(number, Report(600_000, (Check(0),), links, overlay=overlay, dialled=dialled))
        yield agent


def test_the_drawer_shows_which_ends_list_each_link_and_who_reaches_the_node(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(agent.http)
    page.get_by_test_id(f"peer-row-{IDENTITIES[0].peer_id.hex()}").click()
    rows = page.get_by_test_id("node-links").locator("tbody tr")
    expect(rows).to_have_count(3)
    assert {row.get_attribute("data-confirmed") for row in rows.all()} == {"both", "contradicted", "foreign"}
    expect(page.get_by_test_id("reachability")).to_have_text("reachable from 1 of 1 region (1 of 1 peers)")


def test_each_end_of_a_link_shows_what_the_api_says_of_it(agent: Agent, open_page: Callable[..., Page]) -> None:
    names = [one.peer_id.hex() for one in IDENTITIES]
    page = open_page(agent.http)
    listed = {
        0: {1: ("both ends", "2.0 ms", "2.0 ms", "2.0 ms"), 2: ("this end, not the other", "–", "2.0 ms", "–")},
        2: {0: ("the other end, not this one", "–", "–", "2.0 ms"), 1: ("this end, not the other", "–", "2.0 ms", "–")},
    }
    for one, others in listed.items():
        page.get_by_test_id(f"peer-row-{names[one]}").click()
        expect(page.get_by_test_id("drawer")).to_have_attribute("data-peer", names[one])
        rows = page.get_by_test_id("node-links").locator("tbody tr")
        for other, (words, *times) in others.items():
            cells = rows.filter(has_text=names[other][:10]).locator("td")
            expect(cells).to_have_text([re.compile(names[other][:10]), "ygg", *times, words])
        page.keyboard.press("Escape")
    with client(agent) as asking:
        answers = {one: asking.get(f"/api/v1/peers/{names[one]}").json()["node_links"] for one in listed}
        map_links = [one for one in asking.get("/api/v1/topology").json()["links"] if one["confirmed"]]
    for one, links in answers.items():
        assert links == [link for link in map_links if names[one] in (link["source"], link["target"])]
