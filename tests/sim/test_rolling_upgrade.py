"""Agents of two releases in one network: they agree on a wire version, and carry what only newer ones understand."""

import msgspec
import pytest

from network import seconds_until
from peerscope.errors import RemoteError
from peerscope.mesh.events import Recall
from peerscope.mesh.messages import WIRE_VERSION, Aged, Hello, Neighbors, common_wire
from peerscope.records.bodies import Kind, Opaque, Profile, Report, encode_body
from peerscope.records.identity import Identity, PeerId
from peerscope.records.record import KINDS_MAX, Record, _signed_bytes
from peerscope.sim.simulator import EPOCH_S, Simulator

pytestmark = pytest.mark.sim
NEXT = WIRE_VERSION + 1
LATER = Identity(b"\7" * 32)
"""A peer of a later release: what it signs holds more than we know."""


@pytest.mark.parametrize(
    ("theirs", "ours", "agreed"),
    [
        ((1, 1), (1, 1), 1),
        ((1, 2), (1, 1), 1),
        ((1, 1), (1, 2), 1),
        ((1, 2), (1, 2), 2),
        ((2, 5), (1, 3), 3),
        ((2, 2), (1, 1), None),
        ((1, 1), (2, 2), None),
        ((3, 2), (1, 5), None),
    ],
)
def test_the_newest_version_that_both_speak_is_taken(
    theirs: tuple[int, int], ours: tuple[int, int], agreed: int | None
) -> None:
    for question in (Hello(*theirs, "n", b"", 0), Neighbors(*theirs, "n", b"")):
        if agreed is None:
            with pytest.raises(RemoteError, match="wire-version"):
                common_wire(question, ours)
        else:
            assert common_wire(question, ours) == agreed


def row(*wires: tuple[int, int], seed: int = 1) -> tuple[Simulator, list[PeerId]]:
    """Peers in a row, each linked with those beside it only, that speak these versions."""
    sim = Simulator(seed=seed)
    ids = [sim.add() for _ in wires]
    for one in range(len(ids)):
        for other in range(one + 2, len(ids)):
            sim.cut({ids[one]}, {ids[other]})
    for number, wire in enumerate(wires):
        sim.start(ids[number], *ids[max(0, number - 1) : number])
        peer = sim.nodes[ids[number]].peer
        assert peer is not None
        peer.admission.wire = wire
    return sim, ids


def linked(sim: Simulator, one: PeerId, other: PeerId) -> bool:
    peers = {peer.me: peer for peer in sim.alive()}
    return other in peers[one].links.up() and one in peers[other].links.up()


def spoken(sim: Simulator, one: PeerId, other: PeerId) -> int:
    peer = sim.nodes[one].peer
    assert peer is not None
    return peer.links[other].wire


@pytest.mark.parametrize("seed", range(3))
def test_a_peer_of_the_next_release_and_one_of_this_are_linked_by_the_older_version(seed: int) -> None:
    sim, (old, new, newer) = row((1, WIRE_VERSION), (1, NEXT), (1, NEXT), seed=seed)
    seconds_until(sim, lambda: linked(sim, old, new) and linked(sim, new, newer), at_most_s=30)
    assert (spoken(sim, old, new), spoken(sim, new, old)) == (WIRE_VERSION, WIRE_VERSION)
    assert (spoken(sim, new, newer), spoken(sim, newer, new)) == (NEXT, NEXT)


def test_peers_without_a_common_version_refuse_each_other_and_say_why() -> None:
    sim, (old, new) = row((1, 1), (NEXT, NEXT))
    sim.run_until(20)
    assert not linked(sim, old, new)
    refused = sum((peer.refused["wire-version"] for peer in sim.alive()), 0)
    assert refused > 0


def test_an_upgrade_one_by_one_keeps_the_network_whole() -> None:
    sim = Simulator(seed=5)
    ids = [sim.add() for _ in range(8)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(20)
    for peer in ids:
        sim.leave(peer)
        sim.run_until(sim.now + 3)
        sim.start(peer, *(other for other in ids if other != peer))
        started = sim.nodes[peer].peer
        assert started is not None
        started.admission.wire = (1, NEXT)
        sim.run_until(sim.now + 15)
        assert {len(one.ledger) for one in sim.alive()} == {8}
    sim.run_until(sim.now + 10)
    links = {(one.me, far): link.wire for one in sim.alive() for far, link in one.links.items() if link.is_up}
    assert set(links.values()) == {NEXT}


def signed(kind: int, body: bytes, version: int) -> Record:
    said = _signed_bytes(LATER.peer_id, kind, version, 0, body)
    return Record(LATER.peer_id, kind, version, 0, body, LATER.sign(said))


def grown(body: Profile | Report) -> bytes:
    """The body with fields that we do not know, also inside."""
    fields = msgspec.msgpack.decode(encode_body(body))
    if isinstance(body, Report):
        fields[1] = [[*check, "a later field"] for check in fields[1]]
    return msgspec.msgpack.encode([*fields, {"later": [1, 2, 3]}])


@pytest.mark.parametrize("seed", range(3))
def test_what_an_old_peer_does_not_understand_passes_through_it_unharmed(seed: int) -> None:
    sim, (one, old, other) = row((1, NEXT), (1, WIRE_VERSION), (1, NEXT), seed=seed)
    seconds_until(sim, lambda: linked(sim, one, old) and linked(sim, old, other), at_most_s=30)
    wall_ms = round((EPOCH_S + sim.now) * 1000)
    profile = Profile(("10.9.9.9:1",), "later", "9.0", wall_ms)
    report = next(peer for peer in sim.alive() if peer.me == one).ledger.report(one)
    assert report is not None
    records = [
        signed(Kind.PROFILE, grown(profile), wall_ms),
        signed(Kind.REPORT, grown(report), wall_ms + 1),
        signed(KINDS_MAX - 1, b"of a kind that comes later", wall_ms + 2),
    ]
    sim.feed(one, Recall(tuple(Aged(record, 0) for record in records)))
    end = next(peer for peer in sim.alive() if peer.me == other)

    def arrived() -> bool:
        return all(end.ledger.get(LATER.peer_id, record.kind) is not None for record in records)

    seconds_until(sim, arrived, at_most_s=60)
    for record in records:
        entry = end.ledger.get(LATER.peer_id, record.kind)
        assert entry is not None
        assert entry.record == record, "not a byte was lost on the way"
    assert end.ledger.profile(LATER.peer_id) == profile
    assert end.ledger.report(LATER.peer_id) == report
    assert isinstance(end.ledger.get(LATER.peer_id, KINDS_MAX - 1).body, Opaque)
    refused = {reason for peer in sim.alive() for reason in peer.refused}
    assert refused.isdisjoint({"malformed-body", "malformed-message", "unknown-message", "oversized-body", "forged"})
