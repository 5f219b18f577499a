"""Whether the node of a peer can be reached, as a simulated network finds out and shows it."""

import pytest
from msgspec.structs import replace

from peerscope.mesh.events import Effect, Publish
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import DialOutcome, Report
from peerscope.records.identity import PeerId
from peerscope.sim.node import address_of
from peerscope.sim.simulator import Simulator
from peerscope.views.reachability import ReachabilityView, reachability

pytestmark = pytest.mark.sim
FOUND_S = 75.0
REGIONS = 6


class World:
    """Peers in six regions, the first with a node."""

    def __init__(self, peers: int = 16, seed: int = 1) -> None:
        self.sim = Simulator(seed=seed, signed=False)
        self.ids = [self.sim.add(f"region-{number % REGIONS}") for number in range(peers)]
        self.subject = self.sim.nodes[self.ids[0]]
        self.host = address_of(self.subject).rpartition(":")[0]
        self.subject.node_address = f"{self.host}:4001"

    def run(self, until_s: float = FOUND_S) -> None:
        for peer in self.ids:
            self.sim.start(peer, *self.ids[:2])
        self.sim.run_until(until_s)

    def seen_by(self, peer: PeerId) -> ReachabilityView:
        found = reachability(self.sim.snapshot(peer), self.subject.peer_id)
        assert found is not None
        return found

    def everybody(self) -> ReachabilityView:
        """What all peers show alike."""
        views = [self.seen_by(peer) for peer in self.ids[::5]]
        assert {(view.verdict, view.summary) for view in views} == {(views[0].verdict, views[0].summary)}
        return views[0]


def test_a_node_that_listens_is_reachable_from_every_region_of_its_dialers() -> None:
    world = World()
    world.run()
    found = world.everybody()
    assert (found.verdict, found.reached_by, found.tried_by) == ("reachable", 6, 6)
    assert found.reached_regions == found.tried_regions >= 4
    assert {words for dialer in found.dialers for words in dialer.outcomes.values()} == {"reached"}
    assert world.seen_by(world.ids[0]).summary == found.summary


def test_a_firewall_against_one_region_shows_in_the_count_and_not_in_the_verdict() -> None:
    world = World()
    world.run()
    region = next(dialer.region for dialer in world.everybody().dialers)
    assert region is not None
    world = World()
    world.subject.closed_to = frozenset((region,))
    world.run()
    found = world.everybody()
    assert found.verdict == "reachable"
    assert found.reached_regions == found.tried_regions - 1


def test_a_node_that_does_not_listen_is_refused_by_its_machine() -> None:
    world = World()
    world.subject.node_listens = False
    world.run()
    found = world.everybody()
    assert (found.verdict, found.reached_by) == ("unreachable", 0)
    assert "refused" in found.summary


def test_a_member_that_announces_the_address_of_another_aims_nobody_at_it() -> None:
    world = World()
    victim = world.sim.nodes[world.ids[7]]
    victim.node_address = f"{address_of(victim).rpartition(':')[0]}:22"
    world.subject.node_address = victim.node_address
    victim.node_address = None
    world.run()
    found = world.everybody()
    assert (found.verdict, found.tried_by) == ("unknown", 0)
    assert {words for dialer in found.dialers for words in dialer.outcomes.values()} == {
        "not tried: the mesh does not reach the peer at this address"
    }


@pytest.mark.parametrize("lie", [DialOutcome.REACHED, DialOutcome.REFUSED])
def test_two_of_six_dialers_that_lie_do_not_change_the_verdict(lie: DialOutcome) -> None:
    world = World()
    world.run()
    liars = {bytes.fromhex(dialer.peer_id) for dialer in world.everybody().dialers[:2]}
    world = World()
    world.subject.node_listens = lie is not DialOutcome.REACHED

    def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        for attempt in peer.parts.dial_back._attempts.values():
            if attempt.outcomes is not None:
                attempt.outcomes = (int(lie),) * len(attempt.addresses)
        return effects

    for liar in liars:
        world.sim.nodes[PeerId(liar)].corruption = corrupt
    world.run(FOUND_S + 60.0)
    found = world.everybody()
    assert found.verdict == ("unreachable" if lie is DialOutcome.REACHED else "reachable")
    assert found.reached_by == (2 if lie is DialOutcome.REACHED else 4)


def test_a_peer_that_is_no_neighbour_has_no_word() -> None:
    world = World()
    world.run()
    before = world.everybody()
    inside = {dialer.peer_id for dialer in before.dialers}
    snapshot = world.sim.snapshot(world.ids[0])
    reading = next(one for peer in inside for one in _report(world, bytes.fromhex(peer)).dialled)
    watching = {link.peer for link in _report(world, world.ids[0]).links if link.watches}
    stranger = next(peer for peer in world.ids[1:] if peer[:8] not in watching)
    lie = replace(_report(world, stranger), dialled=(replace(reading, outcomes=(int(DialOutcome.SILENT),)),))
    world.sim.feed(stranger, Publish(lie, urgent=True))
    world.sim.run_until(world.sim.now + 5.0)
    assert snapshot is not world.sim.snapshot(world.ids[0])
    assert world.everybody().summary == before.summary


def test_a_node_that_closes_is_found_out_within_ten_minutes_and_a_half() -> None:
    world = World(12)
    world.run()
    assert world.everybody().verdict == "reachable"
    world.subject.node_listens = False
    world.sim.run_until(FOUND_S + 660.0)
    assert world.everybody().verdict == "unreachable"


def test_what_was_found_of_earlier_addresses_does_not_count() -> None:
    world = World(12)
    world.run()
    own = world.sim.snapshot(world.ids[0]).profiles[world.ids[0]]
    world.sim.feed(world.ids[0], Publish(replace(own, node_addresses=(f"{world.host}:9",)), urgent=True))
    world.sim.run_until(world.sim.now + 0.2)
    assert all(dialer.reached is not True for dialer in world.seen_by(world.ids[0]).dialers)
    world.sim.run_until(world.sim.now + 90.0)
    assert world.everybody().verdict == "unreachable"


def _report(world: World, peer: bytes) -> Report:
    report = world.sim.snapshot(world.ids[0]).fresh_report(PeerId(peer))
    assert report is not None
    return report
