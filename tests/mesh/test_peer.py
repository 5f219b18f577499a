"""The peer as a whole, without sockets: joining, telling, leaving, and coming back."""

from math import inf

import pytest
from msgspec.structs import replace

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import (
    Connected,
    Dial,
    Join,
    Leave,
    LinkChanged,
    Publish,
    Received,
    Send,
    Stored,
)
from peerscope.mesh.messages import Aged, Announce, Hello, Push, Records, decode
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, LinkReading, Observations, Profile, Report
from peerscope.records.identity import ref
from strategies import IDENTITIES
from wire import WALL_S, Wire, alone, hear, link, profile, record_of, said

MALLORY = IDENTITIES[9]


def two(*, seconds: float = 10.0) -> tuple[Wire, Peer, Peer]:
    """Two peers that met so many seconds ago; the first has the smaller id, so it pings."""
    wire = Wire()
    one = wire.start(0)
    other = wire.start(1, one)
    wire.run_until(seconds)
    return wire, one, other


def agree_soon(wire: Wire, *peers: Peer) -> bool:
    """Do the ledgers come to agree within an interval? Whoever has just reported is not heard everywhere yet."""
    for _ in range(50):
        if len({peer.ledger.fingerprints() for peer in peers}) == 1:
            return True
        wire.run_until(wire.now + 0.1)
    return False


def test_joining_is_dial_hello_hello() -> None:
    one, other = alone(0), alone(1)
    assert one.handle(Join(other.me, ("10.0.0.2:1",)), 0.1) == []
    assert Dial(other.me, ("10.0.0.2:1",)) in one.tick(0.1)
    (greeting,) = one.handle(Connected(other.me, True), 0.2)
    assert isinstance(greeting, Send)
    assert isinstance(decode(greeting.data), Hello)
    assert other.handle(Connected(one.me, False), 0.2) == []
    answers = other.handle(Received(one.me, greeting.data), 0.21)
    assert LinkChanged(one.me, True, "connected") in answers
    (reply,) = said(answers, Hello, one.me)
    assert reply.reply
    assert LinkChanged(other.me, True, "connected") in hear(one, IDENTITIES[1], reply, 0.22)


def test_two_peers_that_meet_soon_know_the_same() -> None:
    wire, one, other = two(seconds=5.0)
    assert set(one.ledger) == set(other.ledger) == {one.me, other.me}
    assert agree_soon(wire, one, other)
    assert one.ledger.profile(other.me) == replace(profile("10.0.0.1:1"), life=other.shared_key.life)
    assert other.me in {effect.entry.record.peer_id for effect in wire.effects(one, Stored)}
    assert (one.refused, other.refused) == ({}, {})


def test_a_third_that_joins_through_one_meets_the_other() -> None:
    wire, one, other = two()
    third = wire.start(2, one)
    wire.run_until(20.0)
    assert third.links.up() == sorted((one.me, other.me))
    assert agree_soon(wire, one, other, third)
    assert {link.peer for link in third.ledger.report(other.me).links} == {ref(one.me), ref(third.me)}  # type: ignore[union-attr]


def test_who_says_goodbye_has_left_and_is_not_missed() -> None:
    wire, one, other = two()
    wire.log.clear()
    wire.feed(other, Leave())
    assert wire.evidence(one, other).verdict is Verdict.LEFT
    assert one.links.up() == []
    assert other.deadline() == inf
    wire.kill(other)
    wire.run_until(60.0)
    assert wire.evidence(one, other).verdict is Verdict.LEFT
    assert wire.effects(one, Dial) == []
    assert one.ledger.observations(one.me) in (None, Observations())


def test_who_left_may_come_back() -> None:
    wire, one, other = two()
    wire.feed(other, Leave())
    wire.kill(other)
    wire.run_until(20.0)
    back = wire.start(1, one)
    wire.run_until(25.0)
    assert wire.evidence(one, back).verdict is Verdict.ALIVE
    assert agree_soon(wire, one, back)


def test_a_restart_with_an_older_clock_outruns_its_old_records() -> None:
    wire, one, other = two()
    old = other.ledger.get(other.me, Kind.PROFILE)
    assert old is not None
    wire.kill(other)
    wire.run_until(12.0)
    back = wire.start(1, one, wall_s=WALL_S - 3600.0)
    wire.run_until(20.0)
    assert agree_soon(wire, one, back)
    for kind in (Kind.PROFILE, Kind.REPORT):
        entry = one.ledger.get(back.me, kind)
        assert entry is not None
        assert entry.record.version > old.record.version
        assert entry.record.ahead_ms >= 3_500_000
        assert entry.skew_s == pytest.approx(-3600.0, abs=3.0)  # its version clock jumped, which hides its ages


def test_a_record_from_the_far_future_is_kept_and_its_skew_told() -> None:
    peer = alone(0)
    link(peer, MALLORY)
    hear(peer, MALLORY, Push(record_of(MALLORY, profile(), at_s=86_400.0 * 365), 0, 1, ()), 1.0)
    entry = peer.ledger.get(MALLORY.peer_id, Kind.PROFILE)
    assert entry is not None
    assert entry.skew_s == pytest.approx(86_400.0 * 365 - 1.0)
    assert entry.heard_at == 1.0


def test_a_record_that_travelled_long_is_as_old_as_its_carriers_say() -> None:
    peer = alone(0)
    link(peer, MALLORY, 50.0)
    hear(peer, MALLORY, Records((Aged(record_of(IDENTITIES[5], profile(), at_s=10.0), 40_000),)), 50.0)
    entry = peer.ledger.get(IDENTITIES[5].peer_id, Kind.PROFILE)
    assert entry is not None
    assert entry.heard_at == pytest.approx(10.0)
    assert entry.skew_s == pytest.approx(0.0, abs=0.01)


def test_news_passed_on_names_each_carrier_once() -> None:
    peer = alone(0)
    carriers = [ref(identity.peer_id) for identity in (IDENTITIES[5], MALLORY)]
    link(peer, MALLORY)
    link(peer, IDENTITIES[1])
    news = Push(record_of(IDENTITIES[5], Observations()), 0, 5, tuple(carriers))
    (passed,) = said(hear(peer, MALLORY, news, 1.0), Push)
    assert passed.path == (*carriers, ref(peer.me))
    assert passed.ttl == 4
    assert said(hear(peer, MALLORY, news, 1.1), Push) == []


def test_a_report_lists_the_links_that_are_up_and_who_watches() -> None:
    _, one, other = two()
    report = one.ledger.report(one.me)
    assert isinstance(report, Report)
    assert [(link.peer, link.watches) for link in report.links] == [(ref(other.me), True)]
    assert isinstance(report.links[0], LinkReading)
    assert (report.expected, len(report.checks)) == (1, 5)


def test_the_seed_decides_everything() -> None:
    def history() -> list:
        wire, *_ = two(seconds=40.0)
        return wire.log

    assert history() == history()


def test_a_profile_that_changed_reaches_the_other_within_a_second() -> None:
    wire, one, other = two()
    changed = Profile(("10.0.0.9:9",), "us", "2.0", 1)
    wire.feed(one, Publish(changed))
    wire.run_until(11.0)
    assert other.ledger.profile(one.me) == replace(changed, life=one.shared_key.life)
    assert said(wire.effects(one, Send), Announce) != []
