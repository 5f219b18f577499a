"""Joining through tickets of the living and the dead, with real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import eventually, get
from live import HAS_IPV6
from peerscope.host.state import PEERS_FILE
from peerscope.transport.iroh import parse_ticket
from processes import Peers

pytestmark = pytest.mark.e2e


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
