"""Who is down stays down, whatever else its observers have to tell."""

import pytest

from network import network
from peerscope.mesh.detection.verdicts import Verdict

pytestmark = pytest.mark.sim
STEP_S = 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_dead_peer_stays_down_while_its_observers_miss_others_and_hear_them_again(seed: int) -> None:
    sim, ids = network(16, seed)
    first, second, third = ids[2], ids[5], ids[9]
    sim.crash(first)
    sim.run_until(sim.now + 10.0)
    sim.crash(second)
    sim.pause(third, 6.0)
    survivors = [peer for peer in sim.alive() if peer.me != third]
    for _ in range(round(20.0 / STEP_S)):
        sim.run_until(sim.now + STEP_S)
        said = {sim.evidence(peer.me, first).verdict for peer in survivors}
        assert said == {Verdict.DOWN}, f"seed {seed}, {sim.now:.1f} s"
