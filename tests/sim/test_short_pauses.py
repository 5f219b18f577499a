"""Processes that stand still for three seconds, beginning at the worst moment: just before a ping arrives.

The one that pings has then heard nothing for as long as it ever does, so its silence is the longest.
"""

from collections.abc import Callable
from math import inf
from random import Random

import pytest

from network import STEP_S
from peerscope.mesh.detection.observers import accused
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Event, Received
from peerscope.mesh.messages import Ping, decode
from peerscope.records.identity import PeerId, short
from peerscope.sim.network import Latency, fixed, near
from peerscope.sim.node import Machine
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
PAUSE_S = 3.0
QUIET_S = 1.05
"""The subject and the one that pings have not spoken for so long."""
LOOK_S = 0.02
"""A verdict may last for one round trip."""


def settled(peers: int, seed: int, *, loss: float = 0.0, latency: Latency = near) -> tuple[Simulator, list[PeerId]]:
    """Peers that know each other, some time after they started."""
    sim = Simulator(seed=seed, latency=latency, loss_ratio=loss, signed=False)
    populate(sim, Scenario(name="pauses", summary="", peers=peers), Random(seed), None, seed)
    ids = list(sim.nodes)
    sim.run_until(30 + seed * 0.37)
    return sim, ids


class WorstMoment:
    """Stops a peer just before it handles a ping that comes after a long silence."""

    def __init__(self, sim: Simulator, subject: PeerId) -> None:
        self.began_at: float | None = None
        self._sim = sim
        self._subject = subject
        self._heard_at: dict[PeerId, float] = {}
        """By the peer at the other end: when a message last arrived, at either end."""
        self._hand: Callable[[Machine, int, Event], None] = sim._hand
        sim._hand = self._handed  # type: ignore[method-assign]

    def _handed(self, node: Machine, life: int, event: Event) -> None:
        if isinstance(event, Received) and self._subject in (node.machine, event.peer):
            other = event.peer if node.machine == self._subject else node.machine
            quiet_s = self._sim.now - self._heard_at.get(other, -inf)
            is_ping = node.machine == self._subject and isinstance(decode(event.data), Ping)
            if self.began_at is None and is_ping and quiet_s > QUIET_S:
                self.began_at = self._sim.now
                self._sim.pause(self._subject, PAUSE_S)
            self._heard_at[other] = self._sim.now
        self._hand(node, life, event)


def called_down(sim: Simulator, end: float) -> list[str]:
    """Who calls whom down until then, and when."""
    found = []
    while sim.now < end:
        sim.run_until(sim.now + LOOK_S)
        for peer in sim.alive():
            if sim.now < sim.nodes[peer.me].paused_until:
                continue
            for subject in accused(peer.ledger) - {peer.me}:
                if sim.evidence(peer.me, subject).verdict is Verdict.DOWN:
                    found.append(f"{sim.now:.2f} s: {short(peer.me)} of {short(subject)}")
    return found


def stopped_at_the_worst_moment(peers: int, seed: int, *, loss: float = 0.0, latency: Latency = near) -> list[str]:
    """Who called it down meanwhile; nothing where no such moment came."""
    sim, ids = settled(peers, seed, loss=loss, latency=latency)
    moment = WorstMoment(sim, ids[seed % peers])
    end = sim.now + 60.0
    while moment.began_at is None and sim.now < end:
        sim.run_until(sim.now + STEP_S / 5)
    return called_down(sim, moment.began_at + PAUSE_S + 3.0) if moment.began_at is not None else []


@pytest.mark.parametrize(("peers", "seed"), [(3, 0), (3, 3), (4, 4), (5, 2), (8, 1), (12, 3)])
def test_nobody_is_down_that_stands_still_for_three_seconds_near_the_others(peers: int, seed: int) -> None:
    assert stopped_at_the_worst_moment(peers, seed) == []


@pytest.mark.parametrize("seed", [1, 3, 4, 7])
@pytest.mark.parametrize("rtt_s", [None, 0.2])
def test_one_of_two_peers_is_not_down_either(seed: int, rtt_s: float | None) -> None:
    assert stopped_at_the_worst_moment(2, seed, latency=fixed(rtt_s) if rtt_s else near) == []


@pytest.mark.parametrize(
    ("peers", "seed", "rtt_s"), [(4, 5, 0.2), (5, 5, 0.2), (12, 3, 0.2), (4, 3, 0.6), (5, 12, 0.6), (8, 3, 0.6)]
)
def test_on_slow_links_nobody_is_down_that_stands_still_for_three_seconds(peers: int, seed: int, rtt_s: float) -> None:
    assert stopped_at_the_worst_moment(peers, seed, latency=fixed(rtt_s)) == []


@pytest.mark.parametrize(("peers", "seed", "rtt_s"), [(4, 10, None), (5, 0, None), (3, 1, 0.2), (8, 8, 0.2)])
def test_with_a_tenth_of_all_packets_lost_nobody_is_down_either(peers: int, seed: int, rtt_s: float | None) -> None:
    latency = fixed(rtt_s) if rtt_s else near
    assert stopped_at_the_worst_moment(peers, seed, loss=0.1, latency=latency) == []


@pytest.mark.parametrize("gap_s", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("peers", [3, 5])
def test_a_third_of_all_peers_that_stop_again_and_again_are_never_down(peers: int, gap_s: float) -> None:
    sim, ids = settled(peers, 1)
    stopped = ids[: max(1, peers // 3)]
    began_at = sim.now
    for turn in range(5):
        for peer in stopped:
            sim.at(began_at + turn * (PAUSE_S + gap_s), lambda peer=peer: sim.pause(peer, PAUSE_S))  # type: ignore[misc]
    assert called_down(sim, began_at + 5 * (PAUSE_S + gap_s) + 3.0) == []
