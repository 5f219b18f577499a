"""A network of certified members: who is revoked or expires is gone everywhere, and nobody else is."""

import pytest
from msgspec.structs import replace

from network import moments
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Credentials, Effect, Publish, Send
from peerscope.mesh.internal_events import Evicted
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.messages import Push, encode
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, Profile, Status
from peerscope.records.certificates import Certificate, Revocation, certify, revoke
from peerscope.records.identity import Identity, PeerId, ref
from peerscope.records.record import sign
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.simulator import EPOCH_S, Simulator

pytestmark = pytest.mark.sim
OPERATOR = Identity(b"o" * 32)
NETWORK = NetworkConfig(operators=(OPERATOR.peer_id.hex(),))
DAY_S = 86_400.0
GONE_S = 60.0
"""Within which a member that lost its right is gone everywhere."""


def ms(at_s: float) -> int:
    return round((EPOCH_S + at_s) * 1000)


def certificate(peer: PeerId, *, begins_s: float = 0.0, ends_s: float = DAY_S) -> Certificate:
    serial = peer[:4] + round(begins_s).to_bytes(4, "big")
    return certify(OPERATOR, peer, "peerscope", serial=serial, not_before_ms=ms(begins_s), not_after_ms=ms(ends_s))


def revocation(peer: PeerId, at_s: float) -> Revocation:
    return revoke(OPERATOR, peer, "peerscope", revoked_at_ms=ms(at_s), not_after_ms=ms(400 * DAY_S))


def start(sim: Simulator, peer: PeerId, *bootstrap: PeerId, bears: Certificate | None) -> None:
    sim.start(peer, *bootstrap)
    if bears is not None:
        sim.feed(peer, Credentials(bears))


def certified(count: int, network: NetworkConfig = NETWORK, *, ends_s: float = DAY_S) -> tuple[Simulator, list[PeerId]]:
    """So many members, all linked; the last one's certificate ends when told."""
    sim = Simulator(seed=3, config=PeerConfig(network=network))
    ids = [sim.add() for _ in range(count)]
    for peer in ids:
        start(sim, peer, *ids[:1], bears=certificate(peer, ends_s=ends_s if peer == ids[-1] else DAY_S))
    sim.run_until(20.0)
    assert all(set(peer.ledger) == set(ids) for peer in sim.alive())
    return sim, ids


def holders(sim: Simulator, subject: PeerId) -> set[PeerId]:
    """Running peers that still know one, or are linked with it."""
    others = (peer for peer in sim.alive() if peer.me != subject)
    return {peer.me for peer in others if subject in peer.ledger or subject in peer.links.up()}


@pytest.mark.parametrize("secret", ["", "correct horse battery"])
def test_members_find_each_other_and_one_without_a_certificate_finds_nobody(secret: str) -> None:
    sim, ids = certified(12, replace(NETWORK, secret=secret))
    assert all(set(peer.links.up()) >= peer.neighbours.wanted for peer in sim.alive())
    outsider = sim.add()
    start(sim, outsider, *ids[:3], bears=None)
    sim.run_until(60.0)
    assert holders(sim, outsider) == set()
    found = sim.nodes[outsider].peer
    assert found is not None
    assert set(found.ledger) == {outsider}
    assert sum(peer.refused["not-a-member"] for peer in sim.alive()) > 0
    assert all(peer.reputations.all(sim.now) == [] for peer in sim.alive())


def test_a_member_that_is_revoked_at_one_peer_is_gone_everywhere_and_stays_out() -> None:
    sim, ids = certified(24)
    victim = ids[7]
    sim.feed(ids[0], Credentials(None, (revocation(victim, sim.now),)))
    sim.run_until(sim.now + GONE_S)
    assert holders(sim, victim) == set()
    for _ in moments(sim, sim.now + 60.0):  # it goes on trying
        assert holders(sim, victim) == set()
    others = [peer for peer in sim.alive() if peer.me != victim]
    assert all(set(peer.ledger) == set(ids) - {victim} for peer in others)
    assert all(one.peer != victim or one.score < 20 for peer in others for one in peer.reputations.all(sim.now))


def test_a_revoked_member_comes_back_with_a_later_certificate() -> None:
    sim, ids = certified(12)
    victim = ids[7]
    sim.feed(ids[0], Credentials(None, (revocation(victim, sim.now),)))
    sim.run_until(sim.now + GONE_S)
    sim.feed(victim, Credentials(certificate(victim, begins_s=sim.now + 1.0)))
    sim.run_until(sim.now + 60.0)
    assert holders(sim, victim) == set(ids) - {victim}


@pytest.mark.parametrize("renews", [False, True])
def test_a_member_whose_certificate_ends_is_gone_unless_it_shows_a_new_one(renews: bool) -> None:
    sim, ids = certified(12, ends_s=60.0)
    last = ids[-1]
    if renews:
        sim.at(50.0, lambda: sim.feed(last, Credentials(certificate(last, begins_s=50.0))))
    without_links = 0
    for _ in moments(sim, 60.0 + GONE_S):
        peer = sim.nodes[last].peer
        assert peer is not None
        without_links += not peer.links.up()
    assert holders(sim, last) == (set(ids) - {last} if renews else set())
    assert (without_links == 0) == renews


def test_revocations_outlive_whoever_brought_them() -> None:
    sim, ids = certified(6)
    victim, bringer = ids[5], ids[0]
    sim.feed(bringer, Credentials(None, (revocation(victim, sim.now),)))
    sim.run_until(sim.now + GONE_S)
    sim.crash(bringer)
    for peer in sim.alive():
        if bringer in peer.ledger:
            peer.out.emit(Evicted(bringer))  # as after a day without it
            peer.tick(sim.now)
            peer.global_ledger.forget(bringer)
    sim.run_until(sim.now + 600.0)
    newcomer = sim.add()
    start(sim, newcomer, ids[1], bears=certificate(newcomer))
    sim.run_until(sim.now + 30.0)
    found = sim.nodes[newcomer].peer
    assert found is not None
    assert list(found.admission.revocations) == [victim]
    said = [peer.me for peer in sim.alive() if peer.global_ledger.get(peer.me, Kind.REVOKED) is not None]
    assert 1 <= len(said) <= 2  # not everybody says it


def test_a_member_cannot_make_up_others() -> None:
    sim, ids = certified(8)
    liar, invented = ids[3], Identity(b"i" * 32)
    ghost = Profile(("10.66.6.6:1",), None, "ghost", 0, certificate=certificate(liar))
    record = sign(invented, ghost, version=ms(sim.now), wall_ms=ms(sim.now))

    def invent(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        return effects + [Send(to, encode(Push(record, 0, 5, ()))) for to in peer.links.up()]

    sim.nodes[liar].corruption = invent
    sim.run_until(40.0)
    assert all(invented.peer_id not in peer.ledger for peer in sim.alive())


def test_members_of_a_list_hear_only_those_on_it() -> None:
    sim = Simulator(seed=5)
    ids = [sim.add() for _ in range(6)]
    listed = NetworkConfig(allow=tuple(peer.hex() for peer in ids[:5]))
    for peer in ids:
        sim.nodes[peer].config = PeerConfig(network=listed)
        sim.start(peer, *ids[:1])
    sim.run_until(30.0)
    assert holders(sim, ids[5]) == set()
    assert all(set(peer.ledger) == set(ids[:5]) for peer in sim.alive() if peer.me != ids[5])


def test_what_a_peer_says_of_itself_shows_its_newest_certificate() -> None:
    sim, ids = certified(3)
    newer = certificate(ids[1], begins_s=20.0)
    sim.feed(ids[1], Credentials(newer))
    sim.feed(ids[1], Publish(Profile(("10.1.1.1:1",), "moved", "sim", 0)))
    sim.run_until(30.0)
    for peer in sim.alive():
        said = peer.ledger.profile(ids[1])
        assert said is not None
        assert (said.region, said.certificate) == ("moved", newer)


def all_end(count: int, *, at_s: float) -> tuple[Simulator, list[PeerId]]:
    """So many members, whose certificates all end at one moment."""
    sim = Simulator(seed=3, config=PeerConfig(network=NETWORK))
    ids = [sim.add() for _ in range(count)]
    for peer in ids:
        start(sim, peer, *ids[:1], bears=certificate(peer, ends_s=at_s))
    sim.run_until(20.0)
    assert all(set(peer.ledger) == set(ids) for peer in sim.alive())
    return sim, ids


def p2p(peer: Peer) -> tuple[Status, str]:
    report = peer.ledger.report(peer.me)
    assert report is not None
    return report.checks[4].status, report.checks[4].message or ""


def test_where_all_certificates_end_on_one_day_no_peer_calls_itself_healthy_from_then_on() -> None:
    sim, ids = all_end(9, at_s=60.0)
    sim.run_until(60.0)
    assert {p2p(peer)[0] for peer in sim.alive()} == {Status.HEALTHY}
    sim.run_until(80.0)
    for _ in moments(sim, 140.0):
        assert {p2p(peer)[0] for peer in sim.alive()} == {Status.UNHEALTHY}
    assert [len(peer.ledger) for peer in sim.alive()] == [1] * len(ids)
    for peer in sim.alive():
        assert p2p(peer)[1].startswith("lost all ")
        assert p2p(peer)[1].endswith("; refused: certificate-expired")
    assert all(peer.reputations.all(sim.now) == [] for peer in sim.alive())  # nobody is banned for trying


def test_a_network_whose_certificates_all_ended_is_whole_again_when_they_are_renewed() -> None:
    sim, ids = all_end(9, at_s=60.0)
    sim.run_until(150.0)
    for number, peer in enumerate(ids):  # the operator takes a while
        sim.feed(peer, Credentials(certificate(peer, begins_s=sim.now)))
        sim.run_until(150.0 + 5.0 * number)
    sim.run_until(sim.now + 60.0)
    assert all(set(peer.ledger) == set(ids) for peer in sim.alive())
    assert all(set(peer.links.up()) >= peer.neighbours.wanted for peer in sim.alive())
    assert {p2p(peer)[0] for peer in sim.alive()} == {Status.HEALTHY}
    assert all(peer.neighbours.bootstrap == {} for peer in sim.alive())


def test_a_peer_whose_only_other_member_is_revoked_has_lost_nobody() -> None:
    sim, ids = certified(2)
    sim.feed(ids[0], Credentials(None, (revocation(ids[1], sim.now),)))
    sim.run_until(sim.now + GONE_S)
    one, other = (sim.nodes[peer].peer for peer in ids)
    assert one is not None
    assert other is not None
    assert p2p(one) == (Status.HEALTHY, "no other peer known")
    assert p2p(other)[0] is Status.UNHEALTHY


def ends(alerts: AlertHistory, peer: PeerId) -> dict[str, tuple[str, str | None]]:
    """What the board of one peer says of certificates: severity and subject, by id."""
    shown = alerts.alert_list(peer).alerts(active_only=True)
    return {one.id: (one.severity, one.peer_id) for one in shown if one.rule == "certificate-end"}


def test_where_all_certificates_end_every_peer_names_all_of_them_and_the_renewal_ends_the_alerts() -> None:
    sim, ids = all_end(6, at_s=60.0)
    alerts = AlertHistory(sim)
    sim.run_until(45.0)
    assert all(ends(alerts, peer) == {} for peer in ids)
    sim.run_until(55.0)  # the last fifth
    named = {f"certificate-end-{ref(peer).hex()}": peer.hex() for peer in ids}
    assert all(ends(alerts, peer) == {name: ("medium", who) for name, who in named.items()} for peer in ids)
    sim.run_until(90.0)
    for peer in ids:
        grave = {name: ("critical" if who == peer.hex() else "high", who) for name, who in named.items()}
        assert ends(alerts, peer) == grave
        told = [one for one in alerts.alert_list(peer).alerts(active_only=True) if one.rule == "certificate-end"]
        assert all(one.description.endswith(f"peerscope admit issue {one.peer_id}") for one in told)
        assert all(" ended 2023-11-14 22:14 UTC" in one.description for one in told)
        kinds = [one.kind for one in alerts.correlation(peer).incidents if one.state == "open"]
        assert kinds == ["pattern"]  # one message, not one for each member
    for peer in ids:
        sim.feed(peer, Credentials(certificate(peer, begins_s=sim.now)))
    sim.run_until(140.0)
    assert all(ends(alerts, peer) == {} for peer in ids)
    assert all(set(peer.ledger) == set(ids) for peer in sim.alive())


@pytest.mark.parametrize("becomes", ["renewed", "revoked"])
def test_a_member_that_is_dropped_stays_one_alert_at_all_others_until_it_is_renewed_or_revoked(becomes: str) -> None:
    sim, ids = certified(8, ends_s=60.0)
    last, others = ids[-1], ids[:-1]
    alerts = AlertHistory(sim)
    sim.run_until(120.0)
    name = f"certificate-end-{ref(last).hex()}"
    assert holders(sim, last) == set()
    assert all(ends(alerts, peer) == {name: ("high", last.hex())} for peer in others)
    assert ends(alerts, last)[name] == ("critical", last.hex())
    for peer in others:  # never over in between: it only gets worse
        states = [(one.state, one.severity) for _, whose, one in alerts.changes if whose == peer and one.id == name]
        assert states == [("firing", "medium"), ("firing", "high")]
    if becomes == "renewed":
        sim.feed(last, Credentials(certificate(last, begins_s=120.0)))
    else:
        sim.feed(ids[0], Credentials(None, (revocation(last, sim.now),)))
    sim.run_until(180.0)
    assert all(ends(alerts, peer) == {} for peer in others)
    assert holders(sim, last) == (set(others) if becomes == "renewed" else set())


def test_a_member_that_renews_in_time_is_announced_and_then_no_more() -> None:
    sim, ids = certified(4, ends_s=60.0)
    alerts = AlertHistory(sim)
    sim.run_until(52.0)
    assert all(list(ends(alerts, peer)) == [f"certificate-end-{ref(ids[-1]).hex()}"] for peer in ids)
    sim.feed(ids[-1], Credentials(certificate(ids[-1], begins_s=52.0)))
    sim.run_until(100.0)
    assert all(ends(alerts, peer) == {} for peer in ids)
    assert {one.state for _, _, one in alerts.changes if one.rule == "certificate-end"} == {"firing", "resolved"}


def test_certificates_far_from_their_end_and_open_networks_raise_no_alert() -> None:
    for network in (NETWORK, NetworkConfig()):
        sim = Simulator(seed=3, config=PeerConfig(network=network))
        ids = [sim.add() for _ in range(5)]
        for peer in ids:
            start(sim, peer, *ids[:1], bears=certificate(peer) if network.operators else None)
        alerts = AlertHistory(sim)
        sim.run_until(60.0)
        assert [one.id for _, _, one in alerts.changes if one.type == "certificate-end"] == []
