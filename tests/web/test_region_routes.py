"""Regions, latency and round-trip times, by a real agent over HTTP."""

import httpx
import pytest

from latencies import settle
from ledgers import Book
from live import Agent, until
from peerscope.records.identity import Identity, short

FLEET = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(180, 186)), key=lambda one: one.peer_id))
DOCUMENTED = {
    *("region", "status", "source", "total_peers", "healthy_peers", "health_ratio", "connectivity", "cross_region"),
    "last_assessed",
}


@pytest.fixture(scope="module")
def fleet(agent: Agent) -> list[str]:
    """Peers that the agent has heard of: two in asia, two by latency, linked in pairs, one by address; their ids."""
    book = Book(agent.monitor.peer.ledger, FLEET)

    def fill() -> None:
        now = agent.monitor.snapshot().now
        for number, (x_ms, region) in enumerate(((0.0, "asia"), (40.0, "asia"), (100.0, None), (101.0, None))):
            settle(book, number, x_ms, number ^ 1, region=region, started_s=number, rtt_us=3000, at=now)

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == 5, "the agent looks at its ledger again")
    return [identity.peer_id.hex() for identity in FLEET]


def test_regions_are_listed_by_name_with_who_says_so(web: httpx.Client, fleet: list[str]) -> None:
    found = web.get("/api/v1/regions").json()
    guess = f"~{short(FLEET[2].peer_id)}"
    assert [(one["region"], one["source"]) for one in found] == [
        ("asia", "declared"),
        ("eu-west", "declared"),
        (guess, "latency"),
    ]
    assert all(set(one) >= DOCUMENTED for one in found)
    assert set(found[0]["cross_region"]) == {"eu-west", guess}
    assert found[0]["cross_region"][guess] == {"rtt_s": None, "links": 0, "status": "down"}
    assert found[0]["status"] == "critical"  # linked to no other region
    (first,) = web.get("/api/v1/regions", params={"limit": "1"}).json()
    assert first["region"] == "asia"
    onward = web.get("/api/v1/regions", params={"limit": "1"}).links["next"]["url"]
    assert web.get(onward).json()[0]["region"] == "eu-west"


def test_a_peer_is_shown_in_its_region_and_found_by_it(web: httpx.Client, fleet: list[str]) -> None:
    guess = f"~{short(FLEET[2].peer_id)}"
    found = web.get("/api/v1/peers", params={"region": guess}).json()
    assert [(peer["peer_id"], peer["region_source"]) for peer in found] == [(name, "latency") for name in fleet[2:4]]
    me = web.get("/api/v1/self").json()
    assert (me["region"], me["region_source"]) == ("eu-west", "declared")


def test_the_matrix_tells_measured_from_estimated(web: httpx.Client, fleet: list[str]) -> None:
    found = web.get("/api/v1/latency").json()
    pairs = {(pair["source"], pair["target"]): pair for pair in found["pairs"]}
    assert len(pairs) == 6
    assert pairs["asia", "asia"]["measured"] == {"median_s": 0.003, "p95_s": 0.003, "count": 1}
    assert pairs["asia", "asia"]["estimated"] == {"median_s": 0.04, "p95_s": 0.04, "count": 1}
    assert pairs["asia", "eu-west"]["measured"] is None


def test_the_time_between_two_peers_is_measured_or_estimated(web: httpx.Client, fleet: list[str]) -> None:
    measured = web.get("/api/v1/rtt", params={"source": fleet[0], "target": fleet[1][:12]}).json()
    assert (measured["rtt_s"], measured["estimated"], measured["loss_ratio"]) == (0.003, False, 0.0)
    estimated = web.get("/api/v1/rtt", params={"source": fleet[0], "target": fleet[2]}).json()
    assert (estimated["rtt_s"], estimated["estimated"], estimated["source_error_ratio"]) == (0.1, True, 0.1)
    unknown = web.get("/api/v1/rtt", params={"target": fleet[0]}).json()
    assert (unknown["rtt_s"], unknown["estimated"]) == (None, False)
    assert "no coordinate" in unknown["reason"]


@pytest.mark.parametrize(("target", "status"), [("00000000", 404), ("nonsense", 404), ("", 409)])
def test_a_stranger_or_an_unclear_name_is_refused(
    web: httpx.Client, fleet: list[str], target: str, status: int
) -> None:
    answer = web.get("/api/v1/rtt", params={"source": fleet[0], "target": target})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
