"""Verbs that ask a running agent: what they print, in JSON and for people, and what they say when nobody answers."""

import io
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from itertools import pairwise

import pytest
from rich.console import Console

from ledgers import Book
from live import Agent, until
from peerscope.cli.look import _show_status
from peerscope.records.identity import Identity
from peerscope.web import answers

MARKUP = "[red]x[/red]"
TOKEN = "0123456789abcdef"
OTHERS = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(150, 170)), key=lambda one: one.peer_id))


@pytest.fixture(scope="module")
def crowd(agent: Agent) -> list[str]:
    """Peers that the agent has heard of, beside itself; one of them misses another."""

    def fill() -> None:
        book = Book(agent.monitor.peer.ledger, OTHERS)
        book.introduce(*range(len(OTHERS)), region="[link=file:///]")

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == len(OTHERS) + 1, "the agent looks at its ledger again")
    return sorted([identity.peer_id.hex() for identity in OTHERS] + [agent.peer_id])


def test_status_in_json_is_health_and_self(peerscope, agent: Agent) -> None:
    code, said, complaint = peerscope("status", "--json", "--api", agent.http)
    told = json.loads(said)
    assert (code, complaint) == (0, "")
    assert told["self"]["peer_id"] == agent.peer_id
    assert told["self"]["status"] == "healthy"
    assert set(told["self"]["checks"]) == {"cpu", "memory", "storage", "network", "p2p"}
    assert told["health"]["total_peers"] >= 1


def test_check_ends_with_0_where_all_are_healthy_and_1_where_not(peerscope, sick: Agent, agent: Agent) -> None:
    health = agent.loop.call(agent.monitor.network_health)
    expected = 0 if health.healthy_peers == health.total_peers else 1  # a crowd may have come
    assert peerscope("status", "--check", "--api", agent.http)[0] == expected
    assert peerscope("status", "--api", agent.http)[0] == 0
    for flags in ([], ["--json"]):
        code, said, _ = peerscope("status", "--check", "--api", sick.http, "--token", TOKEN, *flags)
        assert code == 1
        assert "unhealthy" in said
    assert peerscope("status", "--api", sick.http, "--token", TOKEN)[0] == 0


def test_peers_in_json_is_the_whole_list_page_by_page(
    peerscope, agent: Agent, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PAGE_MAX", 6)
    code, said, _ = peerscope("peers", "--json", "--api", agent.http + "/")
    assert code == 0
    assert [peer["peer_id"] for peer in json.loads(said)] == crowd


def test_peers_can_be_chosen_by_region_and_status(peerscope, agent: Agent, crowd: list[str]) -> None:
    for chosen in (["--region", MARKUP], ["--status", "healthy"]):
        (peer,) = json.loads(peerscope("peers", "--json", "--api", agent.http, *chosen)[1])
        assert peer["peer_id"] == agent.peer_id
    assert json.loads(peerscope("peers", "--json", "--api", agent.http, "--region", "nowhere")[1]) == []


def test_peer_and_why_take_the_beginning_of_an_id(peerscope, agent: Agent) -> None:
    for name in (agent.peer_id, agent.peer_id[:10], agent.peer_id[:10].upper()):
        assert json.loads(peerscope("peer", name, "--json", "--api", agent.http)[1])["peer_id"] == agent.peer_id
        proof = json.loads(peerscope("why", name, "--json", "--api", agent.http)[1])
        assert (proof["peer_id"], proof["verdict"]) == (agent.peer_id, "alive")


def test_for_people_the_same_is_a_screen(peerscope, agent: Agent, crowd: list[str]) -> None:
    code, said, complaint = peerscope("status", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert f"{len(crowd)} peers: 1 healthy, 20 unknown" in said
    assert agent.monitor.self_view().ticket in said
    code, said, _ = peerscope("peers", "--api", agent.http)
    assert code == 0
    assert [name for name in crowd if name[:10] not in said] == []
    code, said, _ = peerscope("peer", agent.peer_id[:10], "--api", agent.http)
    assert code == 0
    assert [word for word in (agent.peer_id, "healthy", "cpu", "storage", "agrees") if word not in said] == []
    code, said, _ = peerscope("why", agent.peer_id[:10], "--api", agent.http)
    assert code == 0
    assert said == f"peer {agent.peer_id[:10]} is alive: nobody watches this peer\n"


@pytest.mark.parametrize("arguments", [["status"], ["peers"], ["peer", "ID"]])
def test_names_that_look_like_markup_are_printed_as_they_are(
    peerscope, agent: Agent, crowd: list[str], arguments: list[str]
) -> None:
    arguments = [agent.peer_id if argument == "ID" else argument for argument in arguments]
    code, said, _ = peerscope(*arguments, "--api", agent.http)
    assert code == 0
    assert MARKUP in said
    if arguments == ["peers"]:
        assert said.count("[link=file:///]") == len(OTHERS)


def one_line(complaint: str) -> str:
    (line,) = complaint.splitlines()
    assert line.startswith("peerscope: ")
    return line


VERBS = [["status"], ["peers"], ["peer", "00"], ["why", "00"], ["regions"], ["latency"], ["rtt", "00", "11"]]


@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.parametrize("verb", VERBS)
def test_where_no_agent_is_one_line_says_what_to_do(peerscope, verb: list[str], flags: list[str]) -> None:
    code, said, complaint = peerscope(*verb, *flags, "--api", "http://127.0.0.1:9")
    assert (code, said) == (2, "")
    line = one_line(complaint)
    assert "no agent answers at http://127.0.0.1:9" in line
    assert "peerscope run" in line
    assert "--api" in line


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::1", "http://127.0.0.1:http", "http://127.0.0.1:9 9"])
def test_an_address_that_is_none_is_told_in_one_line(peerscope, url: str) -> None:
    code, _, complaint = peerscope("status", "--api", url)
    assert code == 2
    one_line(complaint)


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """A server of something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["no HTTP", "nothing", "a page", "other JSON", "cut short", "not found"],
)
def test_something_else_at_that_address_is_told_in_one_line(peerscope, stranger: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        while True:
            try:
                connection, _ = stranger.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        code, said, complaint = peerscope("status", "--api", f"http://127.0.0.1:{stranger.getsockname()[1]}")
    finally:
        stranger.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (code, said) == (2, "")
    one_line(complaint)


def test_a_stranger_and_an_unclear_name_are_told_in_one_line(peerscope, agent: Agent, crowd: list[str]) -> None:
    for verb in ("peer", "why"):
        code, said, complaint = peerscope(verb, "00000000", "--api", agent.http)
        assert (code, said) == (2, "")
        assert "peerscope peers" in one_line(complaint)
    shared = next(one[0] for one, other in pairwise(crowd) if one[0] == other[0])
    assert "more digits" in one_line(peerscope("peer", shared, "--api", agent.http)[2])


def test_a_token_is_asked_for_and_taken_from_the_option_or_the_environment(
    peerscope, sick: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags in ([], ["--token", "wrong"]):
        code, said, complaint = peerscope("peers", "--api", sick.http, *flags)
        assert (code, said) == (2, "")
        assert "--token" in one_line(complaint)
        assert "PEERSCOPE_WEB__TOKEN" in complaint
    assert peerscope("peers", "--api", sick.http, "--token", TOKEN)[0] == 0
    monkeypatch.setenv("PEERSCOPE_WEB__TOKEN", TOKEN)
    assert peerscope("peers", "--api", sick.http)[0] == 0


def test_a_proxy_has_no_part_in_asking_this_machine(peerscope, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which read the environment at its first use
    assert peerscope("status", "--api", agent.http)[0] == 0


@pytest.mark.parametrize(("count", "is_said"), [(0, False), (2, True)])
def test_peers_without_a_profile_are_not_passed_over_in_silence(count: int, is_said: bool) -> None:
    health = {"total_peers": 1, "healthy_peers": 1, "unintroduced_peers": count, "connectivity": None}
    health |= {"median_latency_s": None, "average_latency_s": None}
    me = {"network": "n", "region": None, "short_id": "aa", "ticket": "t"}
    page = Console(file=io.StringIO(), width=100)
    _show_status(page, health, me, {"status": "healthy", "checks": None})
    assert ("2 more send reports, but their profiles have not arrived" in page.file.getvalue()) is is_said
