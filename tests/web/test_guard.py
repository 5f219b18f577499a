"""Who may ask: names of this server, pages of other sites, tokens, and what every answer carries."""

import http.client
import logging
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from live import Agent, client, running, settings
from peerscope.agent.monitor import Monitor
from peerscope.errors import ConfigError
from peerscope.web.guard import POLICY
from peerscope.web.listener import WebServer

TOKEN = "0123456789abcdef"
OPEN = ["/", "/healthz", "/readyz", "/static/app.js", "/static/style.css"]
CLOSED = ["/api/v1/health", "/api/v1/self", "/api/v1/peers", "/openapi.json", "/nothing", "/static", "/api/v1/peers/0"]


def get(agent: Agent, path: str = "/api/v1/health", **headers: str) -> httpx.Response:
    with client(agent) as asking:
        return asking.get(path, headers={name: value.encode() for name, value in headers.items()})


def feed_of(agent: Agent, query: str = "") -> str:
    return f"ws{agent.http.removeprefix('http')}/dashboard{query}"


def host_of(agent: Agent) -> str:
    return urlsplit(agent.http).netloc


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:80", "peers.example.org"])
def test_names_of_this_server_are_answered(agent: Agent, host: str) -> None:
    assert get(agent, host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "example.org", "0.0.0.0", "[::2]:80", "", "localhost@evil"]
)
@pytest.mark.parametrize("path", ["/", "/api/v1/health", "/static/app.js"])
def test_another_name_is_misdirected(agent: Agent, host: str, path: str) -> None:
    answer = get(agent, path, host=host)
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert "web.allowed_hosts" in answer.json()["detail"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://evil.example:8080", "null", "http://127.0.0.1:1", "file://", "http://["]
)
def test_a_page_of_another_site_is_refused(agent: Agent, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = get(agent, origin=origin)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    with pytest.raises(InvalidStatus, match="403"):
        connect(feed_of(agent), additional_headers={"Origin": origin}, proxy=None)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_our_own_page_is_answered(agent: Agent) -> None:
    assert get(agent, origin=agent.http).status_code == 200
    with connect(feed_of(agent), additional_headers={"Origin": agent.http}, proxy=None) as feed:
        assert "snapshot" in feed.recv(timeout=30)


def test_the_feed_is_refused_under_another_name(agent: Agent) -> None:
    address = urlsplit(agent.http)
    with socket.create_connection((address.hostname, address.port)) as connection:
        with pytest.raises(InvalidStatus, match="421"):
            connect(f"ws://evil.example:{address.port}/dashboard", sock=connection)


@pytest.mark.parametrize("path", OPEN)
def test_the_page_itself_and_the_probes_need_no_token(guarded: Agent, path: str) -> None:
    assert get(guarded, path).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_does(guarded: Agent, path: str) -> None:
    for given in ({}, {"authorization": "Basic dXNlcjpwYXNz"}, {"authorization": "ü"}):
        answer = get(guarded, path, **given)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert TOKEN not in answer.text


def test_with_the_token_everything_is_answered(guarded: Agent) -> None:
    for path in ("/api/v1/health", "/api/v1/self", "/openapi.json"):
        assert get(guarded, path, authorization=f"Bearer {TOKEN}").status_code == 200


def test_a_token_in_the_address_is_for_the_feed_only(guarded: Agent) -> None:
    assert get(guarded, f"/api/v1/health?token={TOKEN}").status_code == 401
    with connect(feed_of(guarded, f"?token={TOKEN}"), proxy=None) as feed:
        assert "snapshot" in feed.recv(timeout=30)
    with connect(feed_of(guarded), additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None) as feed:
        assert "snapshot" in feed.recv(timeout=30)


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%ff", f"?Token={TOKEN}"])
def test_the_feed_needs_the_token(tmp_path: Path, query: str, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, web={"token": TOKEN}) as agent:
        with pytest.raises(InvalidStatus) as refused:
            connect(feed_of(agent, query), proxy=None)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert refused.value.response.headers["content-security-policy"] == POLICY
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/static/app.js", 200),
        ("/api/v1/health", 200),
        ("/openapi.json", 200),
        ("/healthz", 200),
        ("/static", 307),
        ("/api/v1/peers/", 307),
        ("/api/v1/peers?limit=0", 400),
        ("/nothing", 404),
        ("/static/none", 404),
    ],
)
def test_every_answer_carries_the_policy(agent: Agent, path: str, status: int) -> None:
    answer = get(agent, path)
    assert answer.status_code == status
    assert_guarded(answer)


def test_refusals_carry_the_policy(agent: Agent, guarded: Agent) -> None:
    assert_guarded(get(agent, host="evil.example"))
    assert_guarded(get(agent, origin="http://evil.example"))
    assert_guarded(get(guarded))
    with client(agent) as asking:
        assert_guarded(asking.post("/api/v1/health"))


def test_even_a_crash_carries_the_policy(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ArithmeticError("a bug of ours")

    monkeypatch.setattr(agent.monitor, "self_view", broken)
    answer = get(agent, "/api/v1/self")
    assert answer.status_code == 500
    assert_guarded(answer)


def assert_guarded(answer: httpx.Response) -> None:
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in answer.headers


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY


def test_the_page_needs_nothing_that_the_policy_forbids(agent: Agent) -> None:
    page = get(agent, "/").text
    assert "style=" not in page
    assert "onclick" not in page
    assert "<script>" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_a_request_without_a_name_is_misdirected(agent: Agent) -> None:
    connection = http.client.HTTPConnection(host_of(agent), timeout=30)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # which has no Host header
    connection.request("GET", "/api/v1/health")
    assert connection.getresponse().status == 421
    connection.close()


def test_a_taken_port_is_told_before_anything_starts(agent: Agent) -> None:
    address = host_of(agent)
    monitor = Monitor(settings(web={"listen": address}), agent.monitor.state.path)
    with pytest.raises(ConfigError, match=f"web.listen: cannot use {address}.*--http"):
        WebServer(monitor)
