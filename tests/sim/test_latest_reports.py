"""How soon every peer holds the newest record of every other, and what a network at rest costs after a long time."""

from collections import defaultdict
from collections.abc import Callable
from random import Random

import pytest

from peerscope.core import Effect
from peerscope.mesh.events import Send, Stored
from peerscope.records.identity import PeerId
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
SETTLED_S = 30.0
WATCHED_S = 90.0
CALM_S, LOSSY_S = 12.0, 30.0


def old(share: int) -> Callable[[int], bool]:
    """Every so-manieth peer speaks the older wire version; 0: none."""
    return lambda index: share > 0 and index % share == 0


def populated(peers: int, seed: int, loss: float, is_old: Callable[[int], bool]) -> Simulator:
    sim = Simulator(seed=seed, loss_ratio=loss, signed=False)
    populate(sim, Scenario(name="reports", summary="", peers=peers), Random(seed), None, seed)
    for index, node in enumerate(sim.nodes.values()):
        if node.peer is not None and is_old(index):
            node.peer.admission.wire = (1, 1)
    sim.run_until(SETTLED_S)
    return sim


class Issued:
    """When each peer issued each version of its records."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._versions: dict[tuple[PeerId, int], list[tuple[int, float]]] = defaultdict(list)
        sim.on_effect.append(self._on_effect)

    def _on_effect(self, machine: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, Stored) and effect.entry.record.peer_id == machine:
            record = effect.entry.record
            self._versions[machine, record.kind].append((record.version, now))

    def behind_s(self) -> float:
        """The longest time for which anybody has lacked a newer version than it holds."""
        longest_s = 0.0
        for peer in self._sim.alive():
            for (origin, kind), versions in self._versions.items():
                entry = peer.ledger.get(origin, kind)
                held = entry.record.version if entry is not None else 0
                lacking = [at for version, at in versions if version > held]
                longest_s = max(longest_s, self._sim.now - min(lacking, default=self._sim.now))
        return longest_s


def longest_behind_s(sim: Simulator) -> float:
    issued, longest_s = Issued(sim), 0.0
    while sim.now < SETTLED_S + WATCHED_S:
        sim.run_until(sim.now + 1.0)
        longest_s = max(longest_s, issued.behind_s())
    return longest_s


@pytest.mark.parametrize(
    ("peers", "share", "loss", "most_s"),
    [
        (2, 0, 0.1, CALM_S),
        (5, 0, 0.1, CALM_S),
        (12, 0, 0.1, CALM_S),
        (24, 0, 0.1, CALM_S),
        (12, 2, 0.1, LOSSY_S),
        (24, 2, 0.1, LOSSY_S),
        (12, 0, 0.3, LOSSY_S),
        (24, 2, 0.3, LOSSY_S),
        (12, 1, 0.3, LOSSY_S),
    ],
)
def test_everybody_soon_holds_the_newest_records_of_all(peers: int, share: int, loss: float, most_s: float) -> None:
    assert longest_behind_s(populated(peers, 1, loss, old(share))) <= most_s


def test_a_network_at_rest_costs_the_same_after_twenty_minutes() -> None:
    sim = populated(6, 1, 0.01, old(0))
    sent: dict[int, int] = defaultdict(int)

    def count(machine: PeerId, effect: Effect, now: float) -> None:
        sent[int(now // 300)] += isinstance(effect, Send)

    sim.on_effect.append(count)
    sim.run_until(1_500.0)
    assert sent[4] == pytest.approx(sent[1], rel=0.1)
