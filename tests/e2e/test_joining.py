"""Joining through tickets of the living and the dead, with real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import eventually, first_line, get, start
from live import HAS_IPV6
from peerscope.state import PEERS_FILE
from peerscope.transport.iroh import parse_ticket

pytestmark = pytest.mark.e2e


class Peers:
    """Real peers by name, each with a state directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.ready: dict[str, dict[str, Any]] = {}

    def run(self, name: str, *tickets: str, listen: str = "127.0.0.1:0") -> dict[str, Any]:
        """Start a peer, or start it again; its ready line."""
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "127.0.0.1:0"]
        command += ["--listen", listen]
        joins = [word for ticket in tickets for word in ("--join", ticket)]
        log = (self.place / f"{name}.log").open("w")
        with log:
            process = start([*command, "--state", str(self.place / name), *joins], stdin=subprocess.PIPE, stderr=log)
        self._running[name] = process
        self.ready[name] = json.loads(first_line(process))
        return self.ready[name]

    def said(self, name: str) -> str:
        """What a peer wrote to standard error."""
        return (self.place / f"{name}.log").read_text()

    def remembered(self, name: str) -> str:
        """The file of peers that a peer will start from the next time."""
        file = self.place / name / PEERS_FILE
        return file.read_text() if file.exists() else ""

    def event(self, name: str, event: str) -> dict[str, Any]:
        """The next event of this kind that a peer tells."""
        while True:
            told = json.loads(first_line(self._running[name]))
            if told["event"] == event:
                return told

    def kill(self, name: str) -> None:
        """As a crash would."""
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    found = Peers(tmp_path)
    try:
        yield found
    finally:
        found.close()


def sees(peer: dict[str, Any], other: dict[str, Any]) -> bool:
    """One has linked with the other and found it well."""
    found = [one for one in get(peer, "/api/v1/peers") if one["peer_id"] == other["peer_id"]]
    return [one["status"] for one in found] == ["healthy"]


def dead_tickets(peers: Peers, count: int) -> list[str]:
    """Tickets of peers that were killed, and that nobody else ever met."""
    tickets = [peers.run(f"dead-{number}")["ticket"] for number in range(count)]
    for number in range(count):
        peers.kill(f"dead-{number}")
    return tickets


def test_one_living_ticket_among_dead_ones_is_enough_and_the_dead_are_told(peers: Peers) -> None:
    dead = dead_tickets(peers, 3)
    alive = peers.run("alive")
    joiner = peers.run("joiner", *dead[:2], alive["ticket"], dead[2])
    eventually(lambda: sees(joiner, alive) and sees(alive, joiner), "both see each other", within_s=60)
    told = {peers.event("joiner", "unreached")["peer_id"] for _ in dead}
    assert told == {peers.ready[f"dead-{number}"]["peer_id"] for number in range(3)}
    assert peers.said("joiner").count("does not answer") == 3


def test_one_whose_tickets_are_all_dead_returns_by_the_peers_it_remembers(peers: Peers) -> None:
    bootstrap = peers.run("bootstrap")
    other = peers.run("other", bootstrap["ticket"])
    returner = peers.run("returner", bootstrap["ticket"])
    eventually(lambda: sees(returner, other), "all have met", within_s=60)
    eventually(lambda: other["peer_id"] in peers.remembered("returner"), "it is written down", within_s=60)
    peers.kill("returner")
    peers.kill("bootstrap")
    again = peers.run("returner", bootstrap["ticket"], *dead_tickets(peers, 1))
    assert again["peer_id"] == returner["peer_id"]
    eventually(lambda: sees(again, other) and sees(other, again), "they have found each other", within_s=60)


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on loopback here")
def test_a_neighbour_that_is_killed_and_starts_again_on_its_port_is_linked_by_the_first_dial(peers: Peers) -> None:
    """It listens on IPv4 and dials over IPv6, from its second socket, which has another port in each life."""
    listen = parse_ticket(peers.run("victim")["ticket"])[1][0]
    peers.kill("victim")
    survivor = peers.run("survivor", listen="[::1]:0")
    victim = peers.run("victim", survivor["ticket"], listen=listen)
    eventually(lambda: sees(survivor, victim), "they have met", within_s=60)
    peers.kill("victim")
    (peers.place / "victim" / PEERS_FILE).unlink(missing_ok=True)  # so that it dials nobody
    while peers.event("survivor", "link")["up"]:
        pass
    peers.run("victim", listen=listen)
    while not peers.event("survivor", "link")["up"]:
        pass
    assert "dial-failed" not in get(survivor, "/api/v1/self")["refused"]
