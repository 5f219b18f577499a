"""Relays: what may be set, which are used, and how links through them are shown. No relay is reached here; in
tests/e2e/test_relays.py one is."""

import asyncio
from collections import Counter
from pathlib import Path

import iroh as library
import pytest
from msgspec.structs import replace

from ledgers import Book
from maps import join
from network import network, seconds_until
from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.mesh.events import Measured
from peerscope.records.bodies import LinkReading, Report
from peerscope.records.identity import ref
from peerscope.transport.iroh import IrohTransport, parse_ticket, relay_mode
from peerscope.transport.relay import TransportConfig
from peerscope.views.dot import measured
from peerscope.views.links import mesh_links
from peerscope.views.svg import to_svg
from peerscope.views.topology import TopologyCache

LOOPBACK, OURS, THEIRS = "127.0.0.1:0", "https://relay.example.org/", "https://elsewhere.example.net/"
SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    "relay", ["disabled", "default", "https://relay.example.org", "https://[::1]:8443/", "http://192.168.1.2:3340"]
)
def test_these_can_be_set(relay: str) -> None:
    assert TransportConfig(relay=relay).relay == relay
    assert relay_mode(relay) is not None


@pytest.mark.parametrize(
    "relay",
    [
        "",
        "off",
        "http://relay.example.org",
        "http://198.51.100.1.example.org",
        "http://8.8.8.8:3340",
        "https://",
        "https://user:pw@relay.example.org",
        "relay.example.org:443",
        "https://relay.example.org:99999",
        "https://a\n",
        "https://" + "a" * 80,
    ],
)
def test_anything_else_is_refused_with_an_example(relay: str) -> None:
    with pytest.raises(ConfigError, match=r"transport\.relay is .*https://relay\.example\.org"):
        TransportConfig(relay=relay)


def test_with_a_relay_the_network_must_say_who_may_join_even_on_loopback() -> None:
    with pytest.raises(ConfigError, match=r"transport\.relay is default: reachable.*network\.secret"):
        Config.load(environment={"PEERSCOPE_TRANSPORT__RELAY": "default"})
    options = {"transport": {"relay": "default"}, "network": {"secret": SECRET}}
    assert Config.load(environment={}, options=options).transport.relay == "default"


def test_disabled_means_that_no_relay_is_known_and_default_that_some_are() -> None:
    assert relay_mode("disabled").relay_map().urls() == []
    assert len(relay_mode("default").relay_map().urls()) >= 2
    assert relay_mode("https://relay.example.org").relay_map().urls() == [OURS]


def test_a_ticket_carries_the_relay_and_gives_it_back() -> None:
    endpoint_id = library.SecretKey.generate().public()
    addr = library.EndpointAddr(endpoint_id, OURS, ["192.0.2.1:4600"])
    peer, addresses = parse_ticket(str(library.EndpointTicket.from_addr(addr)))
    assert peer.hex() == str(endpoint_id)
    assert addresses == ("192.0.2.1:4600", OURS)


def test_only_relays_of_our_own_settings_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str | None, list[str]]] = []
    real = library.EndpointAddr

    class Watched(real):  # type: ignore[misc, valid-type]
        def __init__(self, id: object, relay_url: str | None, addresses: list[str]) -> None:
            used.append((relay_url, addresses))
            super().__init__(id, relay_url, addresses)

    async def dial(relay: str) -> None:
        transport = await IrohTransport.bind(b"1" * 32, LOOPBACK, relay=relay, dial_timeout_s=0.2)
        peer = parse_ticket(transport.ticket)[0]
        assert transport.home_relay is None, "nobody answers here"
        for addresses in (("127.0.0.1:9", OURS), ("127.0.0.1:9", THEIRS), (THEIRS, OURS)):
            monkeypatch.setattr(library, "EndpointAddr", Watched)
            await transport._dial(peer, addresses)
            monkeypatch.setattr(library, "EndpointAddr", real)
        await transport.close()

    asyncio.run(dial("disabled"))
    assert used == [(None, ["127.0.0.1:9"]), (None, ["127.0.0.1:9"]), (None, [])]
    used.clear()
    asyncio.run(dial("https://relay.example.org"))
    assert used == [(OURS, ["127.0.0.1:9"]), (None, ["127.0.0.1:9"]), (OURS, [])]


def test_direct_connections_are_seen_as_such_by_what_iroh_says_of_their_paths() -> None:
    async def connected() -> None:
        relay = "https://relay.example.org"
        one = await IrohTransport.bind(b"1" * 32, LOOPBACK, relay=relay)
        other = await IrohTransport.bind(b"2" * 32, LOOPBACK, relay=relay)
        one.dial(*parse_ticket(other.ticket))
        async with asyncio.timeout(30):
            while not one._wires:
                await one.receive(0.1)
        ((wire,),) = one._wires.values()
        paths = wire._connection.paths()
        assert [path.is_ip for path in paths if path.is_selected] == [True]
        assert (wire.is_relayed, one.relayed()) == (False, frozenset())
        await one.close()
        await other.close()

    asyncio.run(connected())


def test_an_agent_says_how_it_can_be_reached(tmp_path: Path) -> None:
    async def said() -> None:
        async with Monitor(Config.load(environment={}), tmp_path) as monitor:
            state = monitor.self_view().relay
            assert (state.mode, state.home, state.relayed_links) == ("disabled", None, 0)

    asyncio.run(said())


@pytest.mark.sim
def test_what_the_transport_knows_of_relays_reaches_everybody_in_reports() -> None:
    sim, ids = network(4, seed=3)
    one, other = ids[0], next(iter(sim.nodes[ids[0]].peer.links.up()))  # type: ignore[union-attr]
    report = sim.nodes[one].peer.ledger.report(one)  # type: ignore[union-attr]
    assert report is not None
    assert {link.via_relay for link in report.links} == {None}
    sim.feed(one, Measured(report.checks[:4], report.metrics, relayed=frozenset({other})))

    def known() -> bool:
        reports = [report for peer in sim.alive() if (report := peer.ledger.report(one)) is not None]
        said = [{link.peer: link.via_relay for link in report.links}.get(ref(other)) for report in reports]
        return said == [True] * 4

    seconds_until(sim, known, at_most_s=60)


def drawn(ours: bool | None, theirs: bool | None) -> Book:
    """Two peers, and what each end says of their link."""
    book = Book()
    for number, other, via_relay in ((0, 1, ours), (1, 0, theirs)):
        join(book, number)
        book.report(number, other)
        report = book.ledger.report(book[number])
        assert report is not None
        links = tuple(replace(link, via_relay=via_relay) for link in report.links)
        book.say(number, replace(report, links=links), at=0.5)
    return book


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [(None, None, None), (False, None, False), (False, False, False), (True, False, True), (None, True, True)],
)
def test_a_link_is_relayed_if_either_end_says_so_and_unknown_if_neither_does(
    ours: bool | None, theirs: bool | None, merged: bool | None
) -> None:
    (link,) = mesh_links(drawn(ours, theirs).snapshot(1.0))
    assert link.relayed is merged
    assert measured(link).endswith(", relayed") == (merged is True)


def test_the_map_marks_relayed_links_and_says_so() -> None:
    direct, relayed = (to_svg(TopologyCache().at(drawn(said, said).snapshot(1.0))) for said in (False, True))
    assert "through a relay" not in direct
    assert "through a relay" in relayed
    assert Counter(relayed.split('"'))["9 4 2 4"] == 2  # the link, and its sample in the legend


def test_readings_of_older_agents_say_nothing_of_relays() -> None:
    assert LinkReading(b"12345678").via_relay is None
    assert Report(5000, ()).links == ()
