"""What operators order, revoke and block in one zone holds in all of them, and strangers cannot crowd it out."""

import pytest

from network import agree, moments, seconds_until
from peerscope.alerts.silences import order_key, standing
from peerscope.host.signature_files import load_signatures
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Credentials, Effect, Publish, Send
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.messages import Push, encode
from peerscope.mesh.peer import Peer
from peerscope.mesh.zoning.names import ZoneConfig, zone_name
from peerscope.mesh.zoning.remote_quota import STRANGERS_MAX
from peerscope.records.alerts import Acknowledgement, Orders, Silence
from peerscope.records.blocks import Block, Blocks
from peerscope.records.bodies import Body, Kind
from peerscope.records.certificates import Certificate, certify, revoke
from peerscope.records.identity import Identity, PeerId, Signer
from peerscope.records.ledger import LedgerConfig
from peerscope.records.record import sign
from peerscope.sim.node import make_signer
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.threats.blocks import shared_by
from peerscope.threats.equivocation import equivocations

pytestmark = pytest.mark.sim
OPERATOR = Identity(b"o" * 32)
CERTIFIED = NetworkConfig(operators=(OPERATOR.peer_id.hex(),))
EVERYWHERE_S = 15.0
"""Within which news of an operator is everywhere: a few hops in each zone, and two bridges."""
HOUR_MS = 3_600_000


def ms(at_s: float) -> int:
    return round((EPOCH_S + at_s) * 1000)


def certificate(peer: PeerId, *, begins_s: float = 0.0, ends_s: float = 86_400.0) -> Certificate:
    serial = peer[:4] + round(begins_s).to_bytes(4, "big")
    return certify(OPERATOR, peer, "peerscope", serial=serial, not_before_ms=ms(begins_s), not_after_ms=ms(ends_s))


def zoned(*, zones: int = 3, each: int = 8, seed: int = 1, network: NetworkConfig | None = None) -> Simulator:
    """A network of some zones, in which everybody knows of all of them. Peer number i is of zone i modulo `zones`."""
    config = PeerConfig(zones=ZoneConfig(zone_max=max(16, 2 * each)), network=network or NetworkConfig())
    sim = Simulator(seed=seed, config=config, signed=False)
    ids = [sim.add(f"r{index % zones}") for index in range(zones * each)]
    for index, peer in enumerate(ids):
        sim.start(peer, *dict.fromkeys((ids[index % zones], ids[0])), zone=zone_name(f"r{index % zones}"))
        if network is not None:
            sim.feed(peer, Credentials(certificate(peer)))
    sim.run_parts("summaries")
    sim.run_until(90.0)
    assert len({peer.own_zone.zone for peer in sim.alive()}) == zones
    assert all(len(sim.snapshot(peer.me).peers) == each for peer in sim.alive())
    return sim


def silence(name: str, for_s: float) -> Silence:
    return Silence(name, (("rule", "cpu-*"),), 0, round(for_s * 1000), "ana", "planned")


def silences(sim: Simulator, peer: Peer) -> set[str]:
    return {one.id for one in standing(sim.snapshot(peer.me)).silences}


def far_ledgers(sim: Simulator) -> set[tuple[int, ...]]:
    return {peer.global_ledger.fingerprints() for peer in sim.alive()}


def others(sim: Simulator, but: PeerId) -> list[Peer]:
    return [peer for peer in sim.alive() if peer.me != but]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_silence_of_one_zone_holds_in_all_and_is_lifted_from_any(seed: int) -> None:
    sim = zoned(seed=seed)
    one, other = list(sim.nodes)[3], list(sim.nodes)[7]  # of the first zone, and of the second
    sim.feed(one, Publish(Orders((silence("0011aabb", 3600.0),)), urgent=True))
    seconds_until(sim, lambda: all(silences(sim, p) == {"0011aabb"} for p in sim.alive()), at_most_s=EVERYWHERE_S)
    sim.feed(other, Publish(Orders((silence("0011aabb", 0.0),)), urgent=True))
    seconds_until(sim, lambda: not any(silences(sim, p) for p in sim.alive()), at_most_s=EVERYWHERE_S)


def test_what_is_looked_after_elsewhere_is_looked_after_where_it_happened() -> None:
    sim = zoned()
    here, there, *_ = sim.nodes
    key = order_key("cpu-high/" + "0" * 16)
    sim.feed(here, Publish(Orders((), (Acknowledgement(key, 0, "ana"),)), urgent=True))
    sim.run_until(sim.now + EVERYWHERE_S)
    peer = sim.nodes[there].peer
    assert peer is not None
    assert peer.own_zone.zone != sim.nodes[here].region
    found = standing(sim.snapshot(peer.me)).acknowledgement(key, EPOCH_S + sim.now - 60.0)
    assert found is not None
    assert found.author == "ana"


def test_a_block_list_reaches_all_who_trust_its_author() -> None:
    sim = zoned()
    author = list(sim.nodes)[4]
    sim.feed(author, Publish(Blocks((Block("192.0.2.0/24"),))))
    sim.run_until(sim.now + 40.0)
    for peer in sim.alive():
        ((trusted, blocks),) = shared_by(sim.snapshot(peer.me), [author])
        assert (trusted, blocks.blocks) == (author, (Block("192.0.2.0/24"),))


def test_zones_at_rest_hold_the_same_of_each_other() -> None:
    sim = zoned()
    for index, peer in enumerate(list(sim.nodes)[:6]):
        sim.feed(peer, Publish(Orders((silence(f"0000000{index}", 900.0),))))
        sim.feed(peer, Publish(Blocks((Block(f"192.0.2.{index}"),))))
    seconds_until(sim, lambda: len(far_ledgers(sim)) == 1, at_most_s=60.0)
    assert all(peer.global_ledger.counts[Kind.ORDERS] == 6 for peer in sim.alive())


def test_a_zone_that_was_cut_off_hears_what_was_ordered_meanwhile() -> None:
    sim = zoned()
    ids = list(sim.nodes)
    apart = set(ids[2::3])
    sim.cut(apart, set(ids) - apart)
    sim.feed(ids[0], Publish(Orders((silence("0011aabb", 3600.0),)), urgent=True))
    sim.run_until(sim.now + 60.0)
    assert {peer.me for peer in sim.alive() if not silences(sim, peer)} == apart
    sim.network.heal()
    seconds_until(sim, lambda: all(silences(sim, p) for p in sim.alive()), at_most_s=120.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_late_comer_of_a_single_zone_hears_orders_with_its_first_links(seed: int) -> None:
    sim = Simulator(seed=seed)
    ids = [sim.add() for _ in range(6)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(20.0)
    assert all(len(peer.global_ledger) == 0 for peer in sim.alive())
    sim.feed(ids[0], Publish(Orders((silence("0011aabb", 3600.0),)), urgent=True))
    sim.run_until(25.0)
    late = sim.add()
    sim.start(late, ids[3])
    found = sim.nodes[late].peer
    assert found is not None
    seconds_until(sim, lambda: silences(sim, found) == {"0011aabb"}, at_most_s=2.0)
    assert all(peer.global_ledger.counts[Kind.SUMMARY] == 0 for peer in sim.alive())


def test_who_is_revoked_in_one_zone_is_gone_from_all_and_its_orders_with_it() -> None:
    sim = zoned(network=CERTIFIED)
    ids = list(sim.nodes)
    victim = ids[5]
    sim.feed(victim, Publish(Orders((silence("0011aabb", 3600.0),)), urgent=True))
    seconds_until(sim, lambda: all(silences(sim, p) for p in sim.alive()), at_most_s=EVERYWHERE_S)
    paper = revoke(OPERATOR, victim, "peerscope", revoked_at_ms=ms(sim.now), not_after_ms=ms(86_400.0))
    sim.feed(ids[0], Credentials(None, (paper,)))
    sim.run_until(sim.now + 60.0)
    for peer in others(sim, victim):
        assert list(peer.admission.revocations) == [victim]
        assert victim not in peer.ledger
        assert victim not in peer.global_ledger
        assert silences(sim, peer) == set()
    sim.feed(victim, Publish(Orders((silence("0011aabc", 3600.0),)), urgent=True))
    sim.run_until(sim.now + EVERYWHERE_S)
    assert not any(silences(sim, peer) for peer in others(sim, victim))


def test_orders_outlive_the_certificate_under_which_they_were_given() -> None:
    sim = zoned(network=CERTIFIED)
    ids = list(sim.nodes)
    sim.feed(ids[0], Publish(Orders((silence("0011aabb", 600.0),)), urgent=True))
    sim.run_until(sim.now + 30.0)
    (ends,) = {round(one.ends_at) for p in sim.alive() for one in standing(sim.snapshot(p.me)).silences}
    newer = certificate(ids[0], begins_s=sim.now)
    sim.feed(ids[0], Credentials(newer))
    sim.run_until(sim.now + 40.0)
    for peer in sim.alive():
        entry = peer.global_ledger.get(ids[0], Kind.ORDERS)
        assert entry is not None
        assert isinstance(entry.body, Orders)
        assert entry.body.certificate == newer
        assert [one.ends_at for one in standing(sim.snapshot(peer.me)).silences] == pytest.approx([ends], abs=0.5)


def flood(sim: Simulator, liar: PeerId, bodies: list[tuple[Signer, Body]], at_once: int = 25) -> None:
    """A member passes on records of its own making, to all its neighbours, until none is left."""
    records = [sign(one, body, version=ms(sim.now) + n, wall_ms=ms(sim.now)) for n, (one, body) in enumerate(bodies)]

    def pour(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        news = [records.pop(0) for _ in range(min(at_once, len(records)))]
        return effects + [Send(to, encode(Push(one, 0, 32, ()))) for one in news for to in peer.links.up()]

    sim.nodes[liar].corruption = pour


def test_strangers_fill_no_more_than_their_room_and_orders_of_members_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRANGERS_MAX, Kind.ORDERS, most := 24)
    sim = zoned(zones=2, each=9)
    ids = list(sim.nodes)
    sim.feed(ids[0], Publish(Orders((silence("0011aabb", 3600.0),)), urgent=True))
    sim.run_until(sim.now + EVERYWHERE_S)
    strangers = [make_signer(n.to_bytes(32, "big"), signed=False) for n in range(1, 8 * most)]
    flood(sim, ids[3], [(one, Orders((silence("ffffffff", 60.0),))) for one in strangers])
    for _ in moments(sim, sim.now + 60.0):
        assert all(peer.global_ledger.counts[Kind.ORDERS] <= most + 1 for peer in sim.alive())
    assert sum(peer.refused["abroad-full"] for peer in sim.alive()) > 0
    for zone in ("r0/", "r1/"):  # the same ones at all: nothing is left to be offered again and again
        held = {peer.global_ledger.fingerprints() for peer in others(sim, ids[3]) if peer.own_zone.zone == zone}
        assert len(held) == 1
    sim.feed(ids[1], Publish(Orders((silence("22334455", 3600.0),)), urgent=True))
    sim.run_until(sim.now + EVERYWHERE_S)
    for peer in sim.alive():
        assert ("0011aabb" if peer.own_zone.zone == "r0/" else "22334455") in silences(sim, peer)


def test_one_origin_with_too_much_news_is_held_back_in_other_zones_as_well() -> None:
    sim = zoned(zones=2, each=9)
    liar = list(sim.nodes)[3]
    node = sim.nodes[liar]
    author = make_signer(b"a" * 32, signed=False)
    flood(sim, liar, [(author, Orders((silence("ffffffff", n),))) for n in range(1, 1500)], at_once=5)
    sim.run_until(sim.now + 60.0)
    assert node.peer is not None
    assert sum(peer.refused["too-much-news"] for peer in others(sim, liar)) > 0
    assert all(peer.global_ledger.counts[Kind.ORDERS] <= 1 for peer in others(sim, liar))


def test_what_was_told_all_zones_is_repeated_before_anybody_forgets_it() -> None:
    sim = Simulator(seed=4, config=PeerConfig(ledger=LedgerConfig(remember_s=120.0)))
    ids = [sim.add() for _ in range(5)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(20.0)
    assert agree(sim)
    sim.feed(ids[0], Publish(Orders((silence("0011aabb", 900.0),)), urgent=True))
    sim.feed(ids[1], Publish(Blocks((Block("192.0.2.1"),))))
    sim.run_until(30.0)
    (ends,) = {round(one.ends_at) for p in sim.alive() for one in standing(sim.snapshot(p.me)).silences}
    sim.run_until(500.0)
    late = sim.add()
    sim.start(late, ids[3])
    sim.run_until(510.0)
    for peer in sim.alive():
        assert [round(one.ends_at) for one in standing(sim.snapshot(peer.me)).silences] == [ends]
        assert len(shared_by(sim.snapshot(peer.me), [ids[1]])) == 1
    sim.run_until(1100.0)  # long over
    assert not any(silences(sim, peer) for peer in sim.alive())
    sim.crash(ids[1])
    sim.run_until(1300.0)
    assert all(ids[1] not in peer.global_ledger for peer in sim.alive())


def test_who_contradicts_itself_before_all_zones_is_found_out() -> None:
    sim = zoned(zones=2)
    liar, author = list(sim.nodes)[2], make_signer(b"a" * 32, signed=False)
    bodies = (Orders((silence("0011aabb", for_s),)) for for_s in (60.0, 600.0))
    one, other = (sign(author, body, version=ms(sim.now), wall_ms=ms(sim.now)) for body in bodies)

    def tell(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        sim.nodes[liar].corruption = None
        first, *rest = peer.links.up()
        return [
            *effects,
            Send(first, encode(Push(one, 0, 32, ()))),
            *(Send(p, encode(Push(other, 0, 32, ()))) for p in rest),
        ]

    sim.nodes[liar].corruption = tell
    sim.run_until(sim.now + 240.0)  # where no push crosses the border, only comparisons bring the other statement
    (signature,) = load_signatures().of("equivocation")
    found = (equivocations(sim.snapshot(peer.me), signature) for peer in others(sim, liar))
    assert {one.peer_id for findings in found for one in findings} == {author.peer_id.hex()}
    kept = [peer.global_ledger.get(author.peer_id, Kind.ORDERS) for peer in sim.alive()]
    assert len({entry.digest if entry else None for entry in kept}) == 1
