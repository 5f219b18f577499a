"""Latencies of pushes, as peers find them, beside the true ones of the virtual network."""

from random import Random
from statistics import median

import pytest

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.dissemination.gossip import GossipConfig
from peerscope.mesh.events import Delivered, Effect, Publish
from peerscope.records.bodies import Observations
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.sim.node import Machine
from peerscope.sim.simulator import Simulator
from peerscope.views.routes import Routes, by_region
from peerscope.views.traces import Trace

pytestmark = pytest.mark.sim
DELAYS_S = {frozenset(("eu", "us")): 0.040, frozenset(("eu", "ap")): 0.080, frozenset(("us", "ap")): 0.060}
INSIDE_S = 0.005
JITTER = 0.02
SKEWS_S = (0.0, 3600.0, -3600.0, 0.4, -0.7)


def fixed(one: Machine, other: Machine, rng: Random) -> float:
    """One way, nearly the same each time."""
    here, there = one.region, other.region
    delay_s = INSIDE_S if here == there else DELAYS_S[frozenset((here, there))]
    return delay_s * rng.uniform(1 - JITTER, 1 + JITTER)


class Trial:
    """A network in three regions in which one peer after another says something urgent."""

    def __init__(
        self, *, skewed: bool, peers: int = 15, rounds: int = 2, loss_ratio: float = 0.0, seed: int = 1
    ) -> None:
        config = PeerConfig(gossip=GossipConfig(trace_interval_s=1e6))  # nothing is pushed but what we say
        self.sim = Simulator(seed=seed, config=config, latency=fixed, loss_ratio=loss_ratio)
        skews = SKEWS_S if skewed else (0.0,)
        ids = [self.sim.add(("eu", "us", "ap")[n % 3], skew_s=skews[n % len(skews)]) for n in range(peers)]
        self.region_of = {ref(peer): self.sim.nodes[peer].region for peer in ids}
        self.found: list[tuple[Delivered, float]] = []
        """What peers found, and the true latency."""
        for peer in ids:
            self.sim.start(peer, *ids[:1])
        self.sim.run_until(40.0)
        self.sim.on_effect.append(self._note)
        for peer in ids * rounds:
            self.began = self.sim.now
            self.origin = ref(peer)
            self.sim.feed(peer, Publish(Observations(), urgent=True))
            self.sim.run_until(self.sim.now + 5.0)

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, Delivered) and effect.path[0] == self.origin:
            assert effect.path[-1] == ref(peer)
            self.found.append((effect, now - self.began))

    def region(self, stop: PeerRef) -> str:
        return self.region_of[stop]


def latency_s(delivered: Delivered) -> float:
    assert None not in delivered.hops_us
    return sum(hop for hop in delivered.hops_us if hop is not None) / 1e6


@pytest.mark.parametrize("skewed", [False, True])
def test_every_push_tells_its_true_latency_however_wrong_the_clocks(skewed: bool) -> None:
    trial = Trial(skewed=skewed)
    assert len(trial.found) > 300
    assert {len(delivered.hops_us) for delivered, _ in trial.found} >= {1, 2, 3}
    off = [abs(latency_s(delivered) - true_s) for delivered, true_s in trial.found]
    assert max(off) < 0.003
    assert median(off) < 0.0005


@pytest.mark.parametrize("skewed", [False, True])
def test_routes_between_regions_show_the_delays_of_their_links(skewed: bool) -> None:
    trial, routes = Trial(skewed=skewed, seed=2), Routes()
    for delivered, _ in trial.found:
        hops_s = tuple(None if hop is None else hop / 1e6 for hop in delivered.hops_us)
        trace = Trace("mesh", delivered.path, hops_s, latency_s(delivered), "delivered")
        routes.record(by_region(delivered.path, trial.region), trace, 0.0)
    views = {view.via: view for view in routes.views(0.0)}
    for via, least_s in (
        (("eu", "us"), 0.040),
        (("us", "eu"), 0.040),
        (("ap", "eu"), 0.080),
        (("us", "ap"), 0.060),
        (("eu", "us", "ap"), 0.100),
    ):
        view = views[via]
        assert view.measured == view.delivered
        assert view.p50_s is not None
        assert view.min_s == pytest.approx(least_s, abs=0.006)
        assert (
            least_s - 0.004 <= view.p50_s <= least_s + 2 * INSIDE_S + 0.004
        )  # some hop inside a region before or after


def test_waiting_for_a_retransmission_is_part_of_the_latency() -> None:
    trial = Trial(skewed=True, peers=2, rounds=50, loss_ratio=0.1, seed=3)  # with more, another way is faster
    slow = [(latency_s(delivered), true_s) for delivered, true_s in trial.found if true_s > 0.2]
    assert len(slow) >= 5
    assert all(found_s == pytest.approx(true_s, abs=0.006) for found_s, true_s in slow)
