"""Deaths at awkward moments: when all survivors call the dead peer down."""

from collections.abc import Callable
from random import Random

import pytest
from msgspec.structs import replace

from network import STEP_S
from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Publish
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
DOWN_MAX_S = 6.0
ALONE_MAX_S = 13.0
"""One observer that alone takes a side needs three times `down_after_s`."""
HALF_HEARD_MAX_S = 7.0
"""Their links have just flapped, so those that hear the peer again wait longer."""
LOOK_S = 0.1
BELIEVED_S = 15.0


class Network:
    """Peers that know each other, one of which is to die."""

    def __init__(self, peers: int, seed: int, *, old: Callable[[int], bool] = lambda index: False) -> None:
        self.rng = Random(seed * 1000 + peers)
        self.sim = Simulator(seed=seed, loss_ratio=0.01, signed=False)
        populate(self.sim, Scenario(name="deaths", summary="", peers=peers), Random(seed), None, seed)
        self.ids = list(self.sim.nodes)
        for index, one in enumerate(self.ids):
            if old(index):
                self.peer(one).admission.wire = (1, 1)
        self.sim.run_until(20.0 + self.rng.uniform(0.0, 20.0))
        self.subject = self.ids[self.rng.randrange(peers)]

    def peer(self, one: PeerId) -> Peer:
        peer = self.sim.nodes[one].peer
        assert peer is not None
        return peer

    def others(self) -> list[PeerId]:
        return [one for one in self.ids if one != self.subject]

    def seconds_until_down(self, *also: PeerId) -> float:
        """The subject and these die now; infinite where somebody does not see it."""
        for one in (self.subject, *also):
            self.sim.crash(one)
        died_at, waiting = self.sim.now, {peer.me for peer in self.sim.alive()}
        while waiting and self.sim.now < died_at + 16.0:
            self.sim.run_until(self.sim.now + LOOK_S)
            waiting = {one for one in waiting if self.sim.evidence(one, self.subject).verdict is not Verdict.DOWN}
        return float("inf") if waiting else self.sim.now - died_at


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("peers", [2, 3, 5, 12])
def test_a_death_just_after_the_peer_spoke_to_everybody_is_seen_in_time(peers: int, seed: int) -> None:
    network = Network(peers, seed)
    profile = network.peer(network.subject).ledger.profile(network.subject)
    assert profile is not None
    network.sim.feed(network.subject, Publish(replace(profile, version="later"), urgent=True))
    network.sim.run_until(network.sim.now + STEP_S / 5)
    assert network.seconds_until_down() <= DOWN_MAX_S


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("peers", [5, 8, 24])
def test_a_death_together_with_two_observers_is_seen_in_time(peers: int, seed: int) -> None:
    network = Network(peers, seed)
    watching = sorted(watchers(network.peer(network.subject).ledger, network.subject))
    assert network.seconds_until_down(*network.rng.sample(watching, 2)) <= DOWN_MAX_S


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("peers", [2, 3, 8, 24])
@pytest.mark.parametrize("old", [lambda index: True, lambda index: index % 2 == 0], ids=["all", "half"])
def test_agents_of_the_older_wire_version_see_a_death_in_time(
    peers: int, seed: int, old: Callable[[int], bool]
) -> None:
    network = Network(peers, seed, old=old)
    assert network.seconds_until_down() <= DOWN_MAX_S


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("peers", [2, 3, 4, 8, 24])
def test_a_peer_that_half_of_the_others_no_longer_hear_is_seen_to_die_in_time(peers: int, seed: int) -> None:
    network = Network(peers, seed)
    others = network.others()
    network.sim.cut({network.subject}, set(network.rng.sample(others, len(others) // 2)), both_ways=False)
    network.sim.run_until(network.sim.now + BELIEVED_S)
    assert network.seconds_until_down() <= (ALONE_MAX_S if peers == 3 else HALF_HEARD_MAX_S)


@pytest.mark.parametrize(("peers", "seed"), [(2, 0), (3, 2), (3, 6), (5, 1), (12, 0)])
def test_a_death_while_half_as_many_peers_join_is_seen_in_time(peers: int, seed: int) -> None:
    network = Network(peers, seed)
    sim, ids = network.sim, network.ids
    joining = [sim.add(f"region-{number % 5 + 1}") for number in range(max(2, peers // 2))]
    through = ids[(ids.index(network.subject) + 1) % peers]
    for number, one in enumerate(joining):
        sim.at(sim.now + number * 2.0 / len(joining), lambda one=one: sim.start(one, through))  # type: ignore[misc]
    sim.run_until(sim.now + network.rng.uniform(0.5, 2.5))
    assert network.seconds_until_down() <= (ALONE_MAX_S if peers == 3 else DOWN_MAX_S)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_peer_that_half_of_fifty_no_longer_hear_is_seen_to_die_in_time(seed: int) -> None:
    test_a_peer_that_half_of_the_others_no_longer_hear_is_seen_to_die_in_time(50, seed)
