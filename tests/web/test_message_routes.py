"""Routes of messages and throughput, by a real agent over HTTP."""

import httpx
import pytest

from live import Agent
from peerscope.mesh.events import Delivered
from peerscope.records.identity import PeerRef, ref
from peerscope.views.traces import HopEvent

STRANGER = PeerRef(b"stranger")


@pytest.fixture(scope="module")
def told(agent: Agent) -> None:
    """A push came from somebody unknown, and a message of the node's went from the node to itself."""
    traffic = agent.monitor.traffic

    def tell() -> None:
        traffic.note(Delivered((STRANGER, ref(agent.monitor.peer.me)), (25_000,)))
        traffic.hop(HopEvent("m", "sent", 1000.0))
        traffic.hop(HopEvent("m", "delivered", 1000.5))
        traffic.mesh.record(0.0, 500)
        traffic.mesh.record(0.0, 300, sent=True)

    agent.loop.call(tell)


@pytest.mark.usefixtures("told")
def test_routes_are_listed_by_region_or_by_peer_and_page(web: httpx.Client, agent: Agent) -> None:
    found = web.get("/api/v1/routes").json()
    assert [(one["layer"], one["route"], one["delivered"]) for one in found] == [
        ("mesh", "?>eu-west", 1),
        ("node", "eu-west", 1),
    ]
    assert found[0]["p99_s"] == pytest.approx(0.025, rel=0.01)
    assert found[1]["p50_s"] == 0.5
    by_peer = web.get("/api/v1/routes", params={"by": "peer"}).json()
    assert by_peer[0]["via"] == [STRANGER.hex()[:10], agent.peer_id[:10]]
    first = web.get("/api/v1/routes", params={"limit": "1"})
    assert first.json() == [{**found[0], "age_s": first.json()[0]["age_s"]}]
    onward = web.get(first.links["next"]["url"]).json()
    assert [one["route"] for one in onward] == ["eu-west"]


@pytest.mark.usefixtures("told")
def test_the_latest_messages_are_told_hop_by_hop(web: httpx.Client) -> None:
    found = web.get("/api/v1/traces").json()
    assert [(one["layer"], one["hops_s"], one["latency_s"], one["fate"]) for one in found["latest"]] == [
        ("node", [], 0.5, "delivered"),
        ("mesh", [0.025], 0.025, "delivered"),
    ]
    assert (found["open"], found["counters"]) == (0, {"delivered": 1})


@pytest.mark.usefixtures("told")
def test_throughput_is_an_hour_of_minutes_with_null_before_the_start(web: httpx.Client) -> None:
    found = web.get("/api/v1/throughput").json()
    assert found["node"] is None
    mesh = found["mesh"]
    assert (mesh["messages_in"], mesh["bytes_in"], mesh["messages_out"], mesh["bytes_out"]) == (1, 500, 1, 300)
    assert len(mesh["minutes"]["bytes_in_s"]) == 60
    assert mesh["minutes"]["bytes_in_s"][0] is None
    assert mesh["minutes"]["bytes_in_s"][-1] > 0
    assert len(mesh["seconds"]["bytes_out_s"]) == 300
    assert mesh["current"]["bytes_out_s"] > 0


def test_another_way_to_name_routes_is_refused(web: httpx.Client) -> None:
    answer = web.get("/api/v1/routes", params={"by": "colour"})
    assert answer.status_code == 400
    assert "region or peer" in answer.json()["detail"]
