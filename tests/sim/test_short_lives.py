"""Peers that die right after they joined, before they told of a single link: they are missed like any other."""

import pytest

from network import called_down, network
from peerscope.mesh.detection.verdicts import Verdict

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("lived_s", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("seed", range(2))
def test_a_peer_that_lived_for_moments_is_down_for_everybody_who_heard_of_it(lived_s: float, seed: int) -> None:
    sim, ids = network(12, seed)
    newcomer = sim.add("late")
    sim.start(newcomer, ids[0])
    sim.run_until(sim.now + lived_s)
    sim.crash(newcomer)
    called = called_down(sim, sim.now + 20.0)
    for peer in sim.alive():
        if newcomer in peer.ledger and peer.ledger.profile(newcomer) is not None:
            assert sim.evidence(peer.me, newcomer).verdict is Verdict.DOWN, f"seed {seed}"
    assert called <= {newcomer}
