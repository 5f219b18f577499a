"""What a malicious page in the operator's browser can do to an agent on the same machine: nothing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from live import Agent, client, running, settings
from peerscope.config import Config
from peerscope.errors import ConfigError

EVENT = b'{"type":"gauge","name":"tunnels","value":4}\n'
TOKEN = "0123456789abcdef"
# What browsers add to requests of a page that asks for an image, a script, or by fetch() in mode no-cors.
NO_CORS = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FRAME = LINK | {"sec-fetch-dest": "iframe"}
OWN = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}


def asked(
    agent: Agent, path: str, headers: dict[str, str], method: str = "GET", content: bytes = b""
) -> httpx.Response:
    with client(agent) as asking:
        return asking.request(method, path, headers=headers, content=content)


@pytest.mark.parametrize("headers", [NO_CORS, FRAME, NO_CORS | {"sec-fetch-site": "same-site"}], ids=str)
@pytest.mark.parametrize("path", ["/api/v1/topology.svg", "/", "/openapi.json"])
def test_a_page_of_another_site_cannot_even_make_us_work(agent: Agent, path: str, headers: dict[str, str]) -> None:
    assert asked(agent, path, headers).status_code == 403


@pytest.mark.parametrize("headers", [LINK, OWN, {"sec-fetch-site": "none"}, {}], ids=str)
def test_links_the_address_bar_our_own_page_and_programs_are_answered(agent: Agent, headers: dict[str, str]) -> None:
    assert asked(agent, "/", headers).status_code == 200


# Each is a way of the last twenty years to send a POST from one site's page to another's server.
FORGERIES = {
    "form": {"origin": "http://evil.example", "content-type": "application/x-www-form-urlencoded"},
    "form of a sandboxed frame": {"origin": "null", "content-type": "text/plain"},
    "fetch in mode no-cors": NO_CORS | {"content-type": "text/plain"},
    "form of an old browser, without Origin": {"referer": "http://evil.example/", "content-type": "text/plain"},
    "form of our own origin's user content": {"origin": "OWN", "content-type": "text/plain"},
    "a rebound name": {"host": "evil.example", "origin": "http://evil.example", "x-peerscope": "1"},
}


@pytest.mark.parametrize("way", FORGERIES)
def test_a_forged_post_changes_nothing(agent: Agent, way: str) -> None:
    headers = {name: agent.http if value == "OWN" else value for name, value in FORGERIES[way].items()}
    answer = asked(agent, "/api/v1/telemetry", headers, "POST", EVENT)
    assert answer.status_code in (403, 421)
    assert not agent.loop.call(lambda: agent.monitor.telemetry.has_heard)


def test_no_other_site_is_told_that_it_may_send_our_header(agent: Agent) -> None:
    question = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = asked(agent, "/api/v1/telemetry", question | {"access-control-request-headers": "x-peerscope"}, "OPTIONS")
    assert not answer.is_success
    assert [name for name in answer.headers if name.startswith("access-control")] == []


@pytest.fixture
def hearing(tmp_path: Path) -> Iterator[Agent]:
    with running(tmp_path) as agent:
        yield agent


@pytest.mark.parametrize("headers", [{}, {"x-peerscope": "1", **OWN}], ids=["a program", "our own page"])
def test_those_who_may_are_heard(hearing: Agent, headers: dict[str, str]) -> None:
    assert asked(hearing, "/api/v1/telemetry", headers, "POST", EVENT).status_code == 200


@pytest.mark.parametrize("mark", ["x-forwarded-for", "forwarded", "via"])
def test_what_comes_through_a_proxy_is_not_from_this_machine(hearing: Agent, mark: str) -> None:
    answer = asked(hearing, "/api/v1/telemetry", {mark: "127.0.0.1", "x-peerscope": "1"}, "POST", EVENT)
    assert answer.status_code == 403
    assert "web.token" in answer.json()["detail"]


def test_a_known_proxy_is_believed_as_to_who_asks(tmp_path: Path) -> None:
    with running(tmp_path, web={"proxies": ["127.0.0.0/8"]}) as agent:
        for client_ip, status in (("203.0.113.9", 403), ("127.0.0.1, 203.0.113.9", 403), ("::1", 200)):
            answer = asked(agent, "/api/v1/telemetry", {"x-forwarded-for": client_ip}, "POST", EVENT)
            assert answer.status_code == status, client_ip


def test_a_proxy_that_is_no_address_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"web.proxies has 'nginx'; must be IP addresses or networks"):
        settings(web={"proxies": ["nginx"]})
    environment = {"PEERSCOPE_WEB__PROXIES": "127.0.0.1,10.0.0.0/8"}
    assert Config.load(environment=environment).web.proxies == ("127.0.0.1", "10.0.0.0/8")
