"""A peer whose machine sleeps for longer than anybody remembers: what it brings back is not news."""

from typing import Any

import pytest

from peerscope.alerts.model import Alert
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Effect, Event, Stored
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
REMEMBER_S = 150.0
PEERS = 9
DIES_AT, SLEEPS_AT = 30.0, 60.0


class StoodStill:
    """A peer whose clock stood still while its machine slept, as `time.monotonic` does."""

    def __init__(self, peer: Peer, asleep_s: float) -> None:
        self._peer = peer
        self._asleep_s = asleep_s

    def handle(self, event: Event, now: float) -> list[Effect]:
        return self._peer.handle(event, now - self._asleep_s)

    def tick(self, now: float) -> list[Effect]:
        return self._peer.tick(max(now - self._asleep_s, self._peer.deadline()))  # only called when due; rounding

    def deadline(self) -> float:
        return self._peer.deadline() + self._asleep_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)


class Lid:
    """A network in which one peer dies, another sees that, and its machine is then closed for a while."""

    def __init__(self, seed: int, asleep_s: float) -> None:
        self.sim = Simulator(seed=seed, config=PeerConfig(ledger=LedgerConfig(remember_s=REMEMBER_S)), signed=False)
        self.ids = [self.sim.add() for _ in range(PEERS)]
        self.laptop, self.dead, *self.others = self.ids
        for peer in self.ids:
            self.sim.start(peer, *self.ids[2:4])
        self.alerts = AlertHistory(self.sim)
        self.sim.run_until(DIES_AT)
        self.sim.crash(self.dead)
        self.sim.run_until(SLEEPS_AT)
        assert {self.verdict(peer) for peer in (self.laptop, *self.others)} == {"firing"}
        self.sim.cut({self.laptop}, set(self.others))
        self.sim.pause(self.laptop, asleep_s)
        self.sim.run_until(SLEEPS_AT + asleep_s - 0.001)
        self.sim.heal()
        self.woke_at = self.sim.now

    def verdict(self, peer: PeerId) -> str:
        """What the board of one peer shows of the dead one."""
        shown = {alert.id: alert for alert in self.alerts.alert_list(peer).alerts()}
        return shown[self.alert_id].state

    @property
    def alert_id(self) -> str:
        return f"peer-down-{self.dead.hex()[:16]}"

    def peer(self, one: PeerId) -> Peer:
        found = self.sim.nodes[one].peer
        assert found is not None
        return found

    def known_to(self) -> set[PeerId]:
        """Who has the dead peer in its ledger."""
        return {peer.me for peer in self.sim.alive() if self.dead in peer.ledger}

    def fired_again(self) -> list[Alert]:
        """On the boards of those that stayed awake, since the lid was opened."""
        return [
            alert
            for at, peer, alert in self.alerts.changes
            if at >= self.woke_at and peer != self.laptop and alert.state == "firing" and alert.id == self.alert_id
        ]


@pytest.mark.parametrize("seed", range(2))
def test_what_others_have_forgotten_is_not_taken_back_and_not_told_again(seed: int) -> None:
    lid = Lid(seed, asleep_s=2 * REMEMBER_S)
    assert lid.known_to() == {lid.laptop}
    taken_back: set[PeerId] = set()

    def note(at: PeerId, effect: Effect, _: float) -> None:
        if isinstance(effect, Stored) and effect.entry.record.peer_id == lid.dead:
            taken_back.add(at)

    lid.sim.on_effect.append(note)
    lid.sim.run_until(lid.sim.now + 90.0)
    assert taken_back == set(), f"seed {seed}"
    assert lid.known_to() == set(), f"seed {seed}: it forgets as well"
    assert lid.fired_again() == [], f"seed {seed}"
    living = {lid.laptop, *lid.others}
    assert all(living <= set(peer.ledger) for peer in lid.sim.alive()), f"seed {seed}: they found each other"


def test_one_whose_clock_stood_still_meanwhile_brings_nobody_back_either() -> None:
    """As an agent of an earlier release, or on a system without such a clock: what it gives has been forgotten."""
    lid = Lid(0, asleep_s=2 * REMEMBER_S)
    lid.sim.core_of(lid.laptop).peer = StoodStill(lid.peer(lid.laptop), 2 * REMEMBER_S)
    lid.sim.run_until(lid.sim.now + 90.0)
    assert lid.known_to() == {lid.laptop}
    assert lid.fired_again() == []
    assert sum(peer.refused["forgotten"] for peer in lid.sim.alive()) > 0


@pytest.mark.parametrize("seed", range(2))
def test_after_a_short_sleep_everybody_still_knows_what_they_knew(seed: int) -> None:
    lid = Lid(seed, asleep_s=60.0)
    everybody = {lid.laptop, *lid.others}
    assert lid.known_to() == everybody
    lid.sim.run_until(lid.sim.now + 20.0)
    assert lid.known_to() == everybody, f"seed {seed}"
    assert lid.fired_again() == [], f"seed {seed}: it has fired all the time"
    assert {lid.verdict(peer) for peer in everybody} == {"firing"}
