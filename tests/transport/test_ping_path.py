"""The way of pings to one peer, on a clock of the test: two ends and a line between them that loses what it should."""

from collections.abc import Callable

import pytest

from peerscope.errors import RemoteError
from peerscope.records.identity import Identity, PeerId
from peerscope.transport.ping_path import (
    ANSWER_S,
    FALLS_FREE,
    KEEP_S,
    OVERLAP_S,
    PATH_S,
    PAUSE_MAX_S,
    RENEW_S,
    SETTLE_S,
    Address,
    PingPath,
)
from peerscope.transport.sealed import Opened, PacketKind, decode_offer, key_id_of

HOSTS = {"a": "192.0.2.1", "b": "192.0.2.2"}
INTERVAL_S = 1.0


class Connection:
    """The QUIC connection as one end sees it."""

    def __init__(self, now: float, host: str | None) -> None:
        self.opened_at = now
        self.host = host
        self.frames: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.frames.append(data)

    def direct(self) -> tuple[str, float] | None:
        return None if self.host is None else (self.host, 0.01)


class End:
    """One end of the line."""

    def __init__(self, name: str, other: str, line: "Line") -> None:
        self.name, self.other = name, other
        self.line = line
        self.port = {"a": 1001, "b": 1002}[name]
        self.path = self.begin()
        self.connection = Connection(0.0, HOSTS[other])
        self.got: list[tuple[str, bytes]] = []
        """Ways and datagrams that came."""

    def begin(self) -> PingPath:
        return PingPath(id_of(self.name), id_of(self.other), self.port, self._transmit)

    def _transmit(self, packet: bytes, address: Address) -> bool:
        self.line.packets.append((self.name, packet, address))
        return True

    def send(self, data: bytes) -> str:
        """The way that the datagram took."""
        way = "udp" if self.path.send(self.connection, data, self.line.now) else "quic"
        if way == "quic":
            self.line.datagrams.append((self.name, data))
        self.line.run()
        return way


def id_of(name: str) -> PeerId:
    return Identity(name.encode() * 32).peer_id


class Line:
    """Two ends. `b` answers each ping of `a`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.packets: list[tuple[str, bytes, Address]] = []
        self.datagrams: list[tuple[str, bytes]] = []
        self.sent = 0
        """Packets that went into the line by UDP."""
        self.loses: Callable[[str], bool] = lambda sender: False
        """Whether a packet of this end by UDP is lost."""
        self.source: dict[str, Address] = {name: (HOSTS[name], port) for name, port in (("a", 1001), ("b", 1002))}
        """Where the packets of each end seem to come from."""
        self.ends = {"a": End("a", "b", self), "b": End("b", "a", self)}
        self.a, self.b = self.ends["a"], self.ends["b"]

    def run(self) -> None:
        """Deliver until nothing is under way."""
        while self.packets or self.datagrams or any(end.connection.frames for end in self.ends.values()):
            for end in self.ends.values():
                other = self.ends[end.other]
                while end.connection.frames:
                    other.path.take_offer(other.connection, decode_offer(end.connection.frames.pop(0)), self.now)
            while self.packets:
                sender, packet, address = self.packets.pop(0)
                self.sent += 1
                if self.loses(sender):
                    continue
                receiver = next((end for end in self.ends.values() if self.source[end.name] == address), None)
                if receiver is None or receiver.name == sender:
                    continue
                self.arrive(receiver, packet, self.source[sender])
            while self.datagrams:
                sender, data = self.datagrams.pop(0)
                other = self.ends[self.ends[sender].other]
                other.path.came_by_quic(self.now)
                self.took(other, "quic", data)

    def arrive(self, receiver: End, packet: bytes, source: Address) -> None:
        key_id = key_id_of(packet)
        opener = next((one for one in receiver.path.openers if one.key_id == key_id), None)
        if opener is not None:
            data = receiver.path.opened(receiver.connection, opener.open(packet), source, self.now)
            if data is not None:
                self.took(receiver, "udp", data)

    def took(self, end: End, way: str, data: bytes) -> None:
        end.got.append((way, data))
        if data == b"ping":
            end.send(b"pong")

    def pings(self, count: int, interval_s: float = INTERVAL_S) -> list[str]:
        """The ways of so many pings of `a` whose answers came, "lost" for others."""
        ways = []
        for _ in range(count):
            self.now += interval_s
            before = len(self.a.got)
            self.a.send(b"ping")
            answers = self.a.got[before:]
            ways.append(answers[0][0] if answers else "lost")
        return ways

    def up(self) -> None:
        """Ping until both use UDP."""
        self.pings(round(SETTLE_S + KEEP_S) + 2)
        assert self.a.path.is_up
        assert self.b.path.is_up


def test_pings_go_by_udp_as_soon_as_the_connection_has_settled() -> None:
    line = Line()
    early = line.pings(int(SETTLE_S) - 1)
    assert set(early) == {"quic"}
    assert line.sent == 0  # a guest costs nothing more
    line.up()
    before = line.sent
    assert set(line.pings(20)) == {"udp"}
    assert line.sent - before == 2 * 20  # nothing is acknowledged by a packet of its own


def test_an_end_that_only_answers_offers_nothing() -> None:
    line = Line()
    line.b.connection.send = lambda data: pytest.fail("an offer")  # type: ignore[method-assign]
    line.a.connection.send = lambda data: None  # type: ignore[method-assign]
    line.pings(30)


def test_one_offer_goes_to_an_agent_that_knows_none() -> None:
    line = Line()
    offers: list[bytes] = []
    line.a.connection.send = offers.append  # type: ignore[method-assign]
    assert set(line.pings(10_000)) == {"quic"}
    assert len(offers) == 1
    assert line.sent == 0


@pytest.mark.parametrize("lost", ["a", "b", "ab"])
def test_a_line_that_turns_deaf_costs_one_ping(lost: str) -> None:
    line = Line()
    line.up()
    line.loses = lambda sender: sender in lost
    ways = line.pings(4, 0.25)
    assert ways == ["lost", "quic", "quic", "quic"]
    assert set(line.pings(1_000)) == {"quic"}
    assert line.a.path.falls == 1
    line.loses = lambda sender: False
    after = line.pings(round(PAUSE_MAX_S) + 2)
    assert "lost" not in after
    assert after[-1] == "udp"
    assert set(line.pings(30)) == {"udp"}


def test_pauses_between_probes_grow_but_stay_below_what_firewalls_remember() -> None:
    line = Line()
    line.up()
    line.loses = lambda sender: True
    line.pings(60)
    before = line.sent
    line.pings(600)
    assert 600 / PAUSE_MAX_S <= (line.sent - before) / 2 <= 1.2 * 600 / PAUSE_MAX_S  # both ends probe
    assert PAUSE_MAX_S < 30


def test_a_lost_packet_is_no_firewall() -> None:
    line = Line()
    line.up()
    for _ in range(3 * FALLS_FREE):
        line.loses = lambda sender: True
        assert line.pings(1) == ["lost"]
        line.loses = lambda sender: False
        assert line.pings(4) == ["quic", "udp", "udp", "udp"]
    assert line.a.path.falls == 0


def test_a_line_that_fails_again_and_again_is_left_alone_for_longer() -> None:
    line = Line()
    line.up()
    gaps = []
    for _ in range(FALLS_FREE + 2):
        line.loses = lambda sender: True
        assert line.pings(3)[0] == "lost"
        line.loses = lambda sender: False
        gaps.append(0)
        while line.pings(1) != ["udp"]:
            gaps[-1] += 1
    assert gaps[0] <= 2
    assert gaps[-1] >= PAUSE_MAX_S - 3


def test_a_message_without_an_answer_is_no_failure() -> None:
    line = Line()
    line.up()
    for _ in range(50):
        assert line.pings(1, 0.5) in (["udp"], ["quic"])
        line.now += 0.5
        line.a.send(b"doubt")  # answered by nothing until the next ping
    assert line.a.path.falls == 0
    assert sum(data == b"doubt" for _, data in line.b.got) == 50


def test_an_answer_goes_the_way_of_its_question() -> None:
    line = Line()
    line.up()
    line.b.path.is_up = False  # it has no proof of its own
    line.pings(1)
    assert line.a.got[-1] == ("udp", b"pong")
    line.datagrams.append(("a", b"ping"))  # `a` has doubts
    line.now += 0.25
    line.run()
    assert line.a.got[-1] == ("quic", b"pong")


def test_keys_are_renewed_and_no_ping_is_lost_by_it() -> None:
    line = Line()
    line.up()
    key = line.a.path.openers[-1].key_id
    assert set(line.pings(round(RENEW_S + 2 * KEEP_S))) == {"udp"}
    assert line.a.path.openers[-1].key_id != key
    assert len(line.a.path.openers) == 2
    line.pings(round(OVERLAP_S + 2 * KEEP_S))
    assert len(line.a.path.openers) == 1
    assert line.a.path.is_up
    assert line.b.path.is_up


def test_a_process_that_starts_again_gets_new_keys_on_its_new_connection() -> None:
    line = Line()
    line.up()
    old = {end.path.openers[-1].key_id for end in line.ends.values()}
    line.b.path = line.b.begin()
    for end in line.ends.values():
        end.connection = Connection(line.now, HOSTS[end.other])
    ways = line.pings(20)
    assert ways[0] == "lost"  # with the keys of the process before; the core pings again after 0.25 s
    assert "lost" not in ways[1:]
    assert ways[-1] == "udp"
    assert not old & {opener.key_id for end in line.ends.values() for opener in end.path.openers[-1:]}


def test_two_connections_at_once_and_each_end_writes_to_another() -> None:
    line = Line()
    line.up()
    line.a.connection = Connection(line.now, HOSTS["b"])
    assert "lost" not in line.pings(30)
    offered = len(line.a.path.openers), line.a.path.openers[-1].key_id
    assert set(line.pings(200)) == {"udp"}
    assert offered[1] == line.a.path.openers[-1].key_id  # they do not exchange keys for ever


def test_a_connection_over_a_relay_has_no_other_way() -> None:
    line = Line()
    line.a.connection.host = None
    assert set(line.pings(100)) == {"quic"}
    assert line.sent == 0
    line.a.connection.host = HOSTS["b"]
    line.up()
    line.a.connection.host = None
    assert "udp" not in line.pings(round(2 * PATH_S))[-10:]


def test_packets_of_a_machine_behind_nat_come_from_another_port() -> None:
    line = Line()
    line.source["a"] = (HOSTS["a"], 50_000)
    line.up()
    assert set(line.pings(100)) == {"udp"}
    line.source["a"] = (HOSTS["a"], 50_001)  # the NAT has forgotten
    assert set(line.pings(5)) == {"udp"}


def test_a_source_that_quic_does_not_know_gets_nothing() -> None:
    line = Line()
    line.up()
    sent: list[Address] = []
    transmit = line.b.path._transmit

    def watched(packet: bytes, address: Address) -> bool:
        sent.append(address)
        return transmit(packet, address)

    line.b.path._transmit = watched
    line.source["a"] = ("203.0.113.9", 53)
    line.pings(50)
    assert sent
    assert {host for host, _ in sent} == {HOSTS["a"]}


def test_a_peer_that_moved_is_found_by_the_path_of_its_connection() -> None:
    line = Line()
    line.up()
    line.source["a"] = ("192.0.2.77", 1001)
    line.b.connection.host = "192.0.2.77"
    ways = line.pings(30)
    assert ways.count("lost") <= 1
    assert ways[-1] == "udp"


def test_offers_that_come_too_fast_are_refused() -> None:
    line = Line()
    line.up()
    offers: list[bytes] = []
    line.a.connection.send = offers.append  # type: ignore[method-assign]
    line.a.path._offer(line.a.connection, line.now)
    offer = decode_offer(offers[0])
    line.b.path.take_offer(line.b.connection, offer, line.now)
    with pytest.raises(RemoteError) as raised:
        line.b.path.take_offer(line.b.connection, offer, line.now + 0.1)
    assert raised.value.reason == "ping-offer-too-early"


@pytest.mark.parametrize("heard", [0, 2**64 - 1])
def test_an_acknowledgement_of_packets_that_were_never_sent_proves_nothing(heard: int) -> None:
    line = Line()
    line.up()
    line.loses = lambda sender: True
    line.pings(1)
    claim = Opened(PacketKind.DATA, heard, b"claim", True)
    line.a.path.opened(line.a.connection, claim, line.source["b"], line.now)
    line.now += ANSWER_S + 0.05
    assert line.a.send(b"ping") == "quic"
    line.a.path.opened(line.a.connection, claim, line.source["b"], line.now)
    assert not line.a.path.is_up


def test_waiting_for_an_answer_is_shorter_than_the_core_waits_before_it_pings_again() -> None:
    from peerscope.mesh.detection.detector import DetectorConfig

    assert DetectorConfig().probe_interval_s > ANSWER_S
