"""The machines of a scenario, before anything happens."""

from __future__ import annotations

from random import Random

from peerscope.mesh.events import Recall
from peerscope.mesh.messages import Aged
from peerscope.mesh.zoning.names import zone_name
from peerscope.records.bodies import Kind
from peerscope.sim.behaviour import Prefixes
from peerscope.sim.placement import Machines, lay_overlay
from peerscope.sim.scenario import Scenario
from peerscope.sim.simulator import Simulator

SCOUTS = 2
"""Peers of each zone that begin with a peer of the first zone."""


def populate(sim: Simulator, scenario: Scenario, rng: Random, prefixes: Prefixes | None = None, seed: int = 0) -> None:
    """Machines, and their agents: all knowing each other, or all at once through the first.

    `prefixes`: where they are; by default side by side. `seed`: of the choice who shares a machine or routes.
    """
    dice = Random(f"{seed} machines")  # drawn apart, so that scenarios without such machines keep their histories
    machines, peers = Machines(scenario, dice), []
    for index in range(scenario.peers):
        skewed = rng.random() < scenario.skewed_share
        skew_s = rng.uniform(-scenario.skew_s, scenario.skew_s) if skewed else 0.0
        address, version = prefixes.address() if prefixes else None, scenario.version(rng)
        peers.append(sim.add(machines.region(index), skew_s=skew_s, address=address, version=version))
        sim.nodes[peers[-1]].host = machines.host(index)
    if scenario.routers:
        lay_overlay(sim, peers, scenario.routers, dice)
    for peer in peers:
        index = sim.nodes[peer].index
        zone = zone_name(scenario.region(index)) if scenario.zones else ""
        scouts = scenario.zones and index % scenario.zones > 0 and index < SCOUTS * scenario.zones
        stranger = (not scenario.warm and peer != peers[0]) or scouts
        sim.start(peer, *([peers[0]] if stranger else []), zone=zone)
    if scenario.warm:
        by_zone: dict[str, list[Aged]] = {}
        for one in sim.alive():
            entry = one.ledger.get(one.me, Kind.PROFILE)
            if entry is not None:
                by_zone.setdefault(one.own_zone.zone, []).append(Aged(entry.record, 0))
        known = {zone: Recall(tuple(items), zone) for zone, items in by_zone.items()}
        for one in sim.alive():
            sim.feed(one.me, known[one.own_zone.zone])
