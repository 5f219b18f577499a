"""The map by a real agent over HTTP: JSON, DOT and SVG."""

import xml.etree.ElementTree as ElementTree

import httpx
import pytest

from ledgers import Book
from live import Agent, until
from maps import join, tell
from peerscope.records.identity import Identity

CROWD = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(180, 186)), key=lambda one: one.peer_id))
HOSTILE = "<script>alert()</script>"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def crowd(agent: Agent) -> list[str]:
    """Peers that the agent has heard of: two triangles that share peer 2, and a stranger beyond the node of peer 0."""

    def fill() -> None:
        now = agent.monitor.snapshot().now
        book = Book(agent.monitor.peer.ledger, CROWD)
        around = {0: (1, 2), 1: (0, 2), 2: (0, 1, 3, 4), 3: (2, 4), 4: (2, 3)}
        for number, others in around.items():
            join(book, number, at=now, region=HOSTILE, node="yggdrasil", node_id=f"ygg{number}")
            tell(book, number, others, at=now, overlay=[("ygg9", 1000)] if number == 0 else [])

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == 6, "the agent looks at its ledger again")
    return [identity.peer_id.hex() for identity in CROWD]


def test_the_map_has_what_it_promises(web: httpx.Client, agent: Agent, crowd: list[str]) -> None:
    found = web.get("/api/v1/topology").json()
    promised = {"peers", "links", "regions", "partitions", "articulation_peers", "bridges", "components", "layers"}
    assert set(found) == promised
    assert len(found["links"]) == 7
    for link in found["links"]:
        assert {"source", "target", "layer", "rtt_s", "loss_ratio", "estimated", "source_rtt_s"} <= set(link)
    assert found["articulation_peers"] == [crowd[2]]
    assert found["regions"] == {"eu-west": [agent.peer_id], HOSTILE: crowd[:5]}
    assert {peer["peer_id"] for peer in found["peers"] if not peer["monitored"]} == {"yggdrasil:ygg9"}


def test_dot_is_for_graphviz_with_boxes_on_request(web: httpx.Client, crowd: list[str]) -> None:
    plain, boxed = (web.get("/api/v1/topology.dot", params=query) for query in ({}, {"clusters": "1"}))
    assert plain.headers["content-type"] == "text/vnd.graphviz; charset=utf-8"
    assert plain.text.startswith("digraph peerscope {")
    assert all(peer in plain.text for peer in crowd[:5])
    assert ("subgraph" in plain.text, "subgraph" in boxed.text) == (False, True)
    refused = web.get("/api/v1/topology.dot", params={"clusters": "many"})
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    assert "clusters is 'many'" in refused.json()["detail"]


def test_the_picture_cannot_run_anything(web: httpx.Client, crowd: list[str]) -> None:
    answer = web.get("/api/v1/topology.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    drawing = ElementTree.fromstring(answer.text)
    assert len(list(drawing.iter(f"{SVG}use"))) == 7
    assert not list(drawing.iter(f"{SVG}script"))
    assert not list(drawing.iter(f"{SVG}style"))
    assert HOSTILE in {"".join(text.itertext()) for text in drawing.iter(f"{SVG}text")}


def test_health_and_map_count_the_same_links(web: httpx.Client, agent: Agent, crowd: list[str]) -> None:
    links = agent.loop.call(agent.monitor.mesh_links)
    assert len(links) == 6
    assert web.get("/api/v1/health").json()["average_latency_s"] == pytest.approx(0.001)
