"""What each route answers, by a real agent over HTTP."""

import http.client
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import pytest

from ledgers import Book
from live import Agent, until
from peerscope import __version__
from peerscope.host.machine_identity import own_host
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import Identity
from peerscope.views.hosts import NAME_HEX
from peerscope.web.answers import PAGE_MAX
from peerscope.web.app import STATIC

CLASSES = {f"{name}_peers" for name in ("healthy", "degraded", "unhealthy", "unknown", "down")}
SHOWN_OF_A_PEER = {
    *("peer_id", "region", "version", "node", "verdict", "status", "checks", "metrics", "links", "age_s"),
}
# Two whose ids begin with the same digit, and enough others for some pages.
CROWD = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(100, 140)), key=lambda one: one.peer_id))


@pytest.fixture(scope="module")
def crowd(agent: Agent) -> list[str]:
    """Peers that the agent has heard of, beside itself; their ids."""

    def fill() -> None:
        book = Book(agent.monitor.peer.ledger, CROWD)
        for number in range(len(CROWD)):
            book.introduce(number, region=("north", "south")[number % 2])

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == len(CROWD) + 1, "the agent looks at its ledger again")
    return sorted([identity.peer_id.hex() for identity in CROWD] + [agent.peer_id])


def test_health_counts_every_peer_once(web: httpx.Client) -> None:
    health = web.get("/api/v1/health").json()
    documented = {"total_peers", "average_latency_s", "connectivity", "zones", "last_updated"} | CLASSES
    assert documented <= set(health)
    assert health["total_peers"] == sum(health[name] for name in CLASSES)
    assert health["average_latency_s"] is None


def test_self_tells_who_this_peer_is(web: httpx.Client, agent: Agent) -> None:
    me = web.get("/api/v1/self").json()
    assert (me["peer_id"], me["region"], me["version"]) == (agent.peer_id, "eu-west", __version__)
    assert me["http"] == agent.http
    assert me["ticket"].startswith("endpoint")
    assert me["uptime_s"] > 0
    assert me["node"] is None


def test_a_peer_names_its_machine_by_a_token_of_this_network(web: httpx.Client, agent: Agent) -> None:
    network = agent.monitor.config.network
    told = own_host(network.secret, network.name, ()) or HostTokens()
    profiles = agent.loop.call(lambda: agent.monitor.snapshot().profiles)
    assert profiles[agent.monitor.peer.me].host == (told if told != HostTokens() else None)
    token = told.boot or told.machine  # None on a system without such ids: then it is known by its loopback address
    expected = "loopback" if token is None else token.hex()[:NAME_HEX]
    assert web.get(f"/api/v1/peers/{agent.peer_id}").json()["host"] == expected


def test_a_peer_has_its_checks_and_its_last_hour(web: httpx.Client, agent: Agent) -> None:
    peer = web.get(f"/api/v1/peers/{agent.peer_id}").json()
    assert set(peer) >= SHOWN_OF_A_PEER
    assert (peer["verdict"], peer["status"]) == ("alive", "healthy")
    assert list(peer["checks"]) == ["cpu", "memory", "storage", "network", "p2p"]
    for name, check in peer["checks"].items():
        assert set(check) == {"name", "status", "value", "message"}
        assert check["name"] == name
    assert all({"at", "status"} == set(change) for change in peer["history"])


def test_the_list_has_every_peer_by_id(web: httpx.Client, crowd: list[str]) -> None:
    answer = web.get("/api/v1/peers")
    assert [peer["peer_id"] for peer in answer.json()] == crowd
    assert all(set(peer) >= SHOWN_OF_A_PEER for peer in answer.json())
    assert "link" not in answer.headers


@pytest.mark.parametrize("limit", [7, 20, 41, PAGE_MAX])
def test_pages_reach_every_peer_once(web: httpx.Client, crowd: list[str], limit: int) -> None:
    found, path = [], f"/api/v1/peers?limit={limit}"
    while path:
        answer = web.get(path)
        page = [peer["peer_id"] for peer in answer.json()]
        assert len(page) <= limit
        found += page
        path = answer.links.get("next", {}).get("url", "")
    assert found == crowd


def test_filters_choose_and_hold_on_the_next_page(web: httpx.Client, agent: Agent, crowd: list[str]) -> None:
    first = web.get("/api/v1/peers", params={"region": "north", "limit": "15"})
    second = web.get(first.links["next"]["url"])
    assert [peer["region"] for peer in first.json() + second.json()] == ["north"] * 20
    assert "next" not in second.links
    (healthy,) = web.get("/api/v1/peers", params={"status": "healthy"}).json()
    assert healthy["peer_id"] == agent.peer_id
    assert len(web.get("/api/v1/peers", params={"status": "unknown", "region": "south"}).json()) == 20
    assert web.get("/api/v1/peers", params={"status": "nonsense"}).json() == []
    assert web.get("/api/v1/peers", params={"region": "nowhere"}).json() == []


def test_a_cursor_is_only_a_place_in_the_order(web: httpx.Client, crowd: list[str]) -> None:
    assert web.get("/api/v1/peers", params={"cursor": "zzz"}).json() == []
    after = web.get("/api/v1/peers", params={"cursor": crowd[30][:12]}).json()
    assert [peer["peer_id"] for peer in after] == crowd[30:]


def test_the_beginning_of_an_id_is_enough_in_either_case(web: httpx.Client, crowd: list[str]) -> None:
    for name in (crowd[3][:10], crowd[3][:10].upper(), crowd[3]):
        assert web.get(f"/api/v1/peers/{name}").json()["peer_id"] == crowd[3]
        assert web.get(f"/api/v1/peers/{name}/evidence").json()["peer_id"] == crowd[3]


def test_evidence_shows_the_arithmetic(web: httpx.Client, agent: Agent) -> None:
    proof = web.get(f"/api/v1/peers/{agent.peer_id}/evidence").json()
    assert set(proof) >= {"verdict", "observers", "quorum", "accusations", "heard_by"}
    assert (proof["verdict"], proof["accusations"], proof["arithmetic"]) == ("alive", [], "nobody watches this peer")


def assert_problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    return problem["detail"]


@pytest.mark.parametrize("name", ["00000000", "nonsense", "%1b[31m", "a" * 500])
@pytest.mark.parametrize("rest", ["", "/evidence"])
def test_a_stranger_is_not_found(web: httpx.Client, name: str, rest: str) -> None:
    detail = assert_problem(web.get(f"/api/v1/peers/{name}{rest}"), 404)
    assert "peerscope peers" in detail
    assert len(detail) < 200


def test_a_beginning_that_several_ids_share_is_a_conflict(web: httpx.Client, crowd: list[str]) -> None:
    first = next(one[0] for one, other in pairwise(crowd) if one[0] == other[0])
    assert "more digits" in assert_problem(web.get(f"/api/v1/peers/{first}"), 409)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", str(PAGE_MAX + 1), "9" * 5000])
def test_a_limit_that_is_none_is_a_bad_request(web: httpx.Client, limit: str) -> None:
    detail = assert_problem(web.get("/api/v1/peers", params={"limit": limit}), 400)
    assert f"1 to {PAGE_MAX}" in detail
    assert len(detail) < 200


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v2/health", "/dashboard", "/static/none.js"])
def test_a_path_that_is_none_is_not_found(web: httpx.Client, path: str) -> None:
    assert_problem(web.get(path), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_method_that_is_none_is_refused_with_those_that_are(web: httpx.Client, method: str) -> None:
    answer = web.request(method, "/api/v1/health")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


def test_probes_tell_alive_and_ready(web: httpx.Client) -> None:
    assert web.get("/healthz").json() == {"status": "ok"}
    ready = web.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": None})


def test_a_bug_of_ours_is_a_problem_document_and_the_agent_lives_on(
    web: httpx.Client, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ArithmeticError("a secret of ours")

    monkeypatch.setattr(agent.monitor, "self_view", broken)
    answer = web.get("/api/v1/self")
    assert "secret" not in assert_problem(answer, 500)
    assert "a request for /api/v1/self failed" in caplog.text
    monkeypatch.undo()
    assert web.get("/api/v1/self").status_code == 200


def test_the_page_and_its_files_are_served_as_what_they_are(web: httpx.Client) -> None:
    page = web.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert web.get("/static/app.js").headers["content-type"].split(";")[0] in (
        "text/javascript",
        "application/javascript",
    )
    assert web.get("/static/style.css").headers["content-type"].startswith("text/css")
    assert web.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/vendor/../../app.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/..%5capp.py",
        "/static/%00",
        "/static/",
        "/static/vendor",
    ],
)
def test_nothing_outside_the_pages_own_files_is_served(agent: Agent, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(agent.http).netloc, timeout=30)
    connection.request("GET", path)  # as it stands: other clients would tidy it up
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 404
    assert b"peerscope.agent.monitor" not in body
    assert b"root:" not in body


def test_a_file_that_the_browser_has_is_not_sent_again(web: httpx.Client) -> None:
    first = web.get("/static/app.js")
    again = web.get("/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"


def test_the_page_asks_for_all_its_modules_at_once(web: httpx.Client) -> None:
    page = web.get("/").text
    modules = {place.name for place in STATIC.glob("*.js")} - {"layout-worker.js"}  # which loads itself
    assert {name for name in modules if f'"static/{name}"' not in page} == set()
