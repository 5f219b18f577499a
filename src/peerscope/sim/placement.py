"""Where the peers of a scenario run: machines with several peers, and nodes that route through others."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from random import Random

from peerscope.records.bodies import OverlayLink
from peerscope.records.identity import PeerId
from peerscope.sim.scenario import ALONE_MIN, Scenario
from peerscope.sim.simulator import Simulator

ROUTES = 2
"""Routers of each other node, where there are so many."""
BESIDES = 2
"""Other nodes that each is linked with, at most."""


class Machines:
    """The machine and the region of each peer, by its number."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        self._scenario = scenario
        self._shared: dict[int, tuple[str, str | None]] = {}
        free = list(range(scenario.peers))
        rng.shuffle(free)
        for number, plan in enumerate(scenario.hosts, 1):
            size = max(plan.least, round(rng.uniform(0.5, 1.0) * plan.share * scenario.peers))
            later = sum(other.least for other in scenario.hosts[number:])
            size = min(size, len(free) - ALONE_MIN - later)
            is_one = plan.regions == "one" or (plan.regions == "any" and rng.random() < 0.5)
            region = scenario.region(rng.randrange(scenario.peers)) if is_one else None
            for index in (free.pop() for _ in range(size)):
                self._shared[index] = f"shared-{number}", region

    def host(self, index: int) -> str | None:
        """The machine of a peer; None where nobody looks at alerts, which alone ask for it."""
        alone = f"machine-{index}" if self._scenario.alerts else None
        return self._shared.get(index, (alone, None))[0]

    def region(self, index: int) -> str:
        """The region that a peer states."""
        return self._shared.get(index, ("", None))[1] or self._scenario.region(index)


def lay_overlay(sim: Simulator, peers: Sequence[PeerId], share: float, rng: Random) -> None:
    """Give every peer a node. Some route for the others: each node is linked with a few of them, and a few others."""
    routers = rng.sample(peers, max(1, ceil(share * len(peers))))
    links: dict[PeerId, set[PeerId]] = {peer: set() for peer in peers}
    for peer in peers:
        machine = sim.nodes[peer]
        machine.node_id = f"node-{machine.index}"
        through = [] if peer in routers else rng.sample(routers, min(ROUTES, len(routers)))
        beside = [one for one in rng.sample(peers, min(BESIDES, len(peers))) if one != peer and one not in routers]
        machine.routes_through = tuple(f"node-{sim.nodes[one].index}" for one in through)
        for other in [*through, *([] if peer in routers else beside)]:
            links[peer].add(other)
            links[other].add(peer)
    for peer, others in links.items():
        sim.nodes[peer].overlay = tuple(
            OverlayLink(f"node-{sim.nodes[other].index}", rng.randrange(2_000, 60_000)) for other in sorted(others)[:32]
        )
