"""Peers that come back to a network of zones and remember where they belonged."""

from random import Random

import pytest
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.zoning.names import WHOLE, ZoneConfig
from peerscope.records.identity import PeerId
from peerscope.sim.population import populate
from peerscope.sim.scenario import load
from peerscope.sim.simulator import Simulator

ZONES = ZoneConfig(zone_max=18, summary_interval_s=5.0, hold_s=10.0, grace_s=20.0)


def network(peers: int, zones: int) -> Simulator:
    sim = Simulator(seed=1, config=PeerConfig(zones=ZONES), signed=False)
    populate(sim, replace(load("zones"), peers=peers, zones=zones), Random(1))
    sim.run_parts("summaries")
    sim.run_until(25.0)
    return sim


def zone_of(sim: Simulator, peer: PeerId) -> str:
    found = sim.nodes[peer].peer
    assert found is not None
    return found.own_zone.zone


def returns(sim: Simulator, zone: str, *joins: PeerId) -> PeerId:
    """A peer of the first region, which thinks that it belongs to this zone, starts."""
    peer = sim.add("region-1")
    sim.start(peer, *joins, zone=zone)
    return peer


def knows(sim: Simulator, peer: PeerId) -> set[PeerId]:
    """Whom a peer sees one by one."""
    found = sim.nodes[peer].peer
    assert found is not None
    return set(found.neighbours.rings.members())


def test_a_peer_that_returns_is_in_its_zone_at_once_whomever_it_meets_first() -> None:
    sim = network(27, 3)
    ours = {peer.me for peer in sim.alive() if peer.own_zone.zone == "region-1/"}
    peer = returns(sim, "region-1/", min(ours))
    sim.run_until(sim.now + 5.0)
    assert zone_of(sim, peer) == "region-1/"
    assert knows(sim, peer) == ours | {peer}


@pytest.mark.parametrize("zone", ["region-1/0", "region-1/01", "region-9/"])
def test_a_peer_whose_zone_is_no_more_goes_where_it_belongs_now(zone: str) -> None:
    sim = network(27, 3)
    ours = {peer.me for peer in sim.alive() if peer.own_zone.zone == "region-1/"}
    peer = returns(sim, zone, min(ours))
    sim.run_until(sim.now + ZONES.hold_s + 25.0)
    assert zone_of(sim, peer) == "region-1/"
    assert knows(sim, peer) == ours | {peer}
    assert {zone_of(sim, one) for one in ours} == {"region-1/"}


def test_a_peer_that_returns_to_a_network_that_is_whole_again_joins_it_and_stays() -> None:
    sim = network(12, 0)
    ours = {peer.me for peer in sim.alive()}
    peer = returns(sim, "region-1/0", min(ours))
    sim.run_until(sim.now + ZONES.hold_s + 25.0)
    for _ in range(8):
        sim.run_until(sim.now + 5.0)
        assert zone_of(sim, peer) == WHOLE
        assert knows(sim, peer) == ours | {peer}
        assert {zone_of(sim, one) for one in ours} == {WHOLE}
