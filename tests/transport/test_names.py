"""Names of peers: what `peer.join` may hold, how names are looked up, and which are never looked up."""

import asyncio
import random
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dns_server import DnsServer
from live import HAS_IPV6, came_true, settings
from peerscope import Monitor
from peerscope.agent import bootstrap
from peerscope.agent import monitor as agent
from peerscope.agent.bootstrap import Bootstrap
from peerscope.errors import ConfigError
from peerscope.host.addresses import is_direct, is_name
from peerscope.host.state import StateDirectory
from peerscope.mesh.events import Connected, DialFailed, Event, Join
from peerscope.records.identity import Identity, PeerId
from peerscope.transport import names
from peerscope.transport.iroh import IrohTransport
from peerscope.transport.joining import ENTRIES_MAX, Start, parse_join, parse_joins
from peerscope.transport.names import ADDRESSES_MAX, TARGETS_MAX, Names, bindable, look_up
from wire import alone

PEER = Identity(b"o" * 32).peer_id
ID = PEER.hex()
RECORD = ("_peerscope._udp.peers.test", "SRV")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    """The DNS server that SRV records are asked of."""
    found = DnsServer()
    resolver = dns.resolver.Resolver

    def configured() -> dns.resolver.Resolver:
        made = resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], found._socket.getsockname()[1]
        return made

    monkeypatch.setattr(dns.resolver, "Resolver", configured)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("place", "start"),
    [
        ("192.0.2.1:4600", Start(("192.0.2.1:4600",))),
        ("[2001:db8::1]:4600", Start(("[2001:db8::1]:4600",))),
        ("seed.example.org:4600", Start(names=("seed.example.org:4600",))),
        ("localhost:4600", Start(names=("localhost:4600",))),
        ("example.org", Start(names=("example.org",))),
    ],
)
def test_a_peer_is_given_by_its_id_and_where_it_is_found(place: str, start: Start) -> None:
    assert parse_join(f" {ID}@{place}\n") == (PEER, start)
    assert parse_join(f"{ID.upper()}@{place}") == (PEER, start)


def test_all_entries_for_one_peer_hold() -> None:
    found = parse_joins([f"{ID}@a.test:1", f"{ID}@127.0.0.1:2", f"{ID}@b.test:3", f"{ID}@a.test:1"])
    assert found == {PEER: Start(("127.0.0.1:2",), ("a.test:1", "b.test:3"))}
    assert found[PEER].places == ("a.test:1", "b.test:3", "127.0.0.1:2")


@pytest.mark.parametrize(
    ("entry", "wishes"),
    [
        ("seed.example.org:4600", ["which peer", "ID@seed.example.org:4600", "ticket"]),
        ("localhost:4600", ["which peer"]),
        ("[::1]:4600", ["which peer"]),
        ("abc@seed.example.org:4600", ["before the @", "64 hexadecimal"]),
        (f"{ID[:-2]}  @seed.example.org:4600", ["before the @"]),
        (f"{ID}@seed.example.org:", ["no address", "ID@HOST:PORT"]),
        (f"{ID}@seed.example.org:0", ["no address"]),
        (f"{ID}@::1:4600", ["no address"]),
        (f"{ID}@fe80::1%eth0", ["no address"]),
        (f"{ID}@-a.test:1", ["no address"]),
        (f"{ID}@1.2.3:1", ["no address"]),
        (f"{ID}@{'a' * 64}.test:1", ["no address"]),
        (f"{ID}@a@b:1", ["no address"]),
        ("", ["not a ticket"]),
    ],
)
def test_what_is_no_place_of_a_peer_is_refused_with_what_to_write(entry: str, wishes: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^peer\.join: ") as told:
        parse_joins([entry])
    assert [wish for wish in wishes if wish not in str(told.value)] == []
    assert len(str(told.value)) < 400


@given(st.text() | st.builds("{}@{}".format, st.just(ID), st.text()))
def test_any_text_is_a_peer_or_refused(entry: str) -> None:
    try:
        (start,) = parse_joins([entry]).values()
    except ConfigError:
        return
    assert all(is_direct(address) or address.startswith("http") for address in start.addresses)
    assert all(is_name(name.partition(":")[0]) for name in start.names)


def test_entries_are_bounded() -> None:
    assert len(parse_joins([f"{ID}@a{number}.test:1" for number in range(ENTRIES_MAX)])[PEER].names) == ENTRIES_MAX
    with pytest.raises(ConfigError, match="more than"):
        parse_joins([f"{ID}@a{number}.test:1" for number in range(ENTRIES_MAX + 1)])


def test_without_the_extra_a_name_without_a_port_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "dns"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigError, match="extra `dns`"):
        parse_join(f"{ID}@example.org")
    assert parse_join(f"{ID}@example.org:1")[1].names == ("example.org:1",)


def test_a_name_leads_to_all_addresses_that_the_system_knows() -> None:
    assert "127.0.0.1:4600" in look_up("localhost:4600")
    with pytest.raises(OSError, match=r"\w"):
        look_up("no-such-host.invalid:4600")


def test_service_records_say_host_and_port_the_preferred_first(server: DnsServer) -> None:
    server.records[RECORD] = ["20 0 3 127.0.0.1.", "10 1 2 127.0.0.1.", "10 9 1 127.0.0.1.", "1 0 4 none.invalid."]
    assert look_up("peers.test") == ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


@pytest.mark.parametrize(
    ("records", "reason"),
    [({}, "no SRV records of _peerscope._udp.peers.test"), ({RECORD: ["0 0 0 ."]}, "no such service")],
)
def test_a_service_that_is_not_there_is_said(server: DnsServer, records: dict, reason: str) -> None:
    server.records.update(records)
    with pytest.raises(OSError, match=reason):
        look_up("peers.test")


def test_one_name_leads_to_a_bounded_number_of_addresses(server: DnsServer) -> None:
    server.records[RECORD] = [f"0 0 {port} localhost." for port in range(1, 40)]
    found = look_up("peers.test")
    assert len(found) <= ADDRESSES_MAX
    assert len({address.rpartition(":")[2] for address in found}) <= TARGETS_MAX


def test_a_resolver_that_never_answers_delays_a_dial_and_nothing_piles_up(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "WAIT_S", 0.05)
    monkeypatch.setattr(names, "look_up", partial(_patient, names.look_up))
    server.is_mute = True

    async def scenario() -> None:
        book = Names({PEER: ("peers.test",)})
        for _ in range(20):
            assert await book.addresses(PEER) == ()
            assert sum(thread.name == "name peers.test" for thread in threading.enumerate()) <= 1
        server.is_mute = False
        server.records[RECORD] = ["0 0 1 127.0.0.1."]
        monkeypatch.setattr(names, "PAUSE_FIRST_S", 0.0)
        while not (found := await book.addresses(PEER)):
            await asyncio.sleep(0.01)
        assert found == ("127.0.0.1:1",)

    asyncio.run(scenario())


def _patient(look_up, text):  # type: ignore[no-untyped-def]
    """A resolver that takes longer than a dial waits."""
    names.WAIT_S, wait_s = 1.0, names.WAIT_S
    try:
        return look_up(text)
    finally:
        names.WAIT_S = wait_s


def test_names_are_looked_up_anew_each_time_and_a_failing_one_is_left_alone_for_a_while(server: DnsServer) -> None:
    async def scenario() -> None:
        book = Names({PEER: ("peers.test",)})
        for port in (1, 2, 3):
            server.records[RECORD] = [f"0 0 {port} 127.0.0.1."]
            assert await book.addresses(PEER) == (f"127.0.0.1:{port}",)
        server.records.clear()
        before = server.asked[RECORD]
        for _ in range(5):
            assert await book.addresses(PEER) == ()
        assert server.asked[RECORD] == before + 1
        assert await book.addresses(PeerId(bytes(32))) == ()

    asyncio.run(scenario())


async def happened(transport: IrohTransport, kind: type[Event]) -> Event:
    async with asyncio.timeout(60):
        while True:
            for event in await transport.receive(1.0):
                if isinstance(event, kind):
                    return event


def test_a_peer_is_dialled_at_its_name_whatever_stale_address_is_known() -> None:
    async def scenario() -> None:
        other = await IrohTransport.bind(b"o" * 32, "127.0.0.1:0")
        port = other.addresses[0].rpartition(":")[2]
        one = await IrohTransport.bind(b"\1" * 32, "127.0.0.1:0", names=Names({PEER: (f"localhost:{port}",)}))
        one.dial(PEER, ("127.0.0.1:9",))
        assert await happened(one, Connected) == Connected(PEER, dialled=True)
        await one.close()
        await other.close()

    asyncio.run(scenario())


def test_names_that_other_peers_give_as_their_address_are_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(names, "look_up", asked.append)

    async def scenario() -> None:
        one = await IrohTransport.bind(b"\1" * 32, "127.0.0.1:0", names=Names({PEER: ("a.test:1",)}))
        stranger = Identity(b"s" * 32).peer_id
        one.dial(stranger, ("victim.test:80", "[::1]", "victim.test"))
        assert (await happened(one, DialFailed)).peer == stranger  # type: ignore[union-attr]
        await one.close()

    asyncio.run(scenario())
    assert asked == []


@pytest.mark.parametrize(
    ("listen", "bound"),
    [("localhost:0", "127.0.0.1:0"), ("127.0.0.1:7", "127.0.0.1:7"), *([("[::1]:0", "[::1]:0")] if HAS_IPV6 else [])],
)
def test_a_name_of_this_machine_is_listened_on(listen: str, bound: str) -> None:
    assert asyncio.run(bindable(listen, "peer.listen")) == bound


def test_a_peer_of_the_settings_is_looked_for_again_while_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "DIAL_INTERVAL_S", 0.0)
    known = {Identity(b"r" * 32).peer_id: ("127.0.0.1:1",), PEER: ("127.0.0.1:2",)}
    (state := StateDirectory(tmp_path)).remember(known)
    peer = alone()
    starts = Bootstrap(state, {PEER: Start(("127.0.0.1:3",), ("a.test:4",))}, random.Random(1))
    again = Join(PEER, ("127.0.0.1:3", "127.0.0.1:2"))
    first = starts.first()
    assert again in first
    assert len(first) == 2
    assert starts.look(peer, lambda *_, **__: None) == [again]
    assert starts.look(peer, lambda *_, **__: None) == [again]


def test_one_that_met_the_peers_of_its_settings_looks_for_them_no_more_until_they_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "DIAL_INTERVAL_S", 0.0)
    monkeypatch.setattr(agent, "LOOK_INTERVAL_S", 3600.0)

    async def scenario() -> None:
        async with Monitor(settings(), tmp_path / "seed") as seed:
            address = seed.self_view().addresses[0]
            join = f"{seed.peer.me.hex()}@localhost:{address.rpartition(':')[2]}"
            async with Monitor(settings(peer={"join": (join,)}), tmp_path / "other") as other:
                await came_true(lambda: seed.peer.me in other.peer.links.up(), "they have met")
                await came_true(lambda: seed.peer.me in other.peer.ledger, "it knows the other")
                look = partial(other._bootstrap.look, other.peer, other.event_log.send)
                assert look() == []
                other.peer.neighbours.lost.add(seed.peer.me)
                assert look() == [Join(seed.peer.me, ())]

    asyncio.run(scenario())


def test_a_peer_says_where_it_is_reached_when_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "LOOK_INTERVAL_S", 0.05)

    async def scenario() -> None:
        async with Monitor(settings(), tmp_path) as monitor:
            moved = ("127.0.5.5:4600",)

            def told() -> tuple[str, ...]:
                profile = monitor.peer.ledger.profile(monitor.peer.me)
                return profile.addresses if profile else ()

            await came_true(lambda: told() == monitor.transport.addresses, "it says where it is")
            monkeypatch.setattr(IrohTransport, "addresses", property(lambda self: moved))
            await came_true(lambda: told() == moved, "it says where it is now")

    asyncio.run(scenario())
