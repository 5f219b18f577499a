"""A dead man's switch: one heartbeat per interval while the network is whole, else silence."""

from collections import Counter
from itertools import pairwise

import pytest
from msgspec.structs import replace

from network import network
from notifying import SimulatedHeartbeats
from peerscope.alerts.heartbeat import HeartbeatConfig
from peerscope.alerts.notification_log import NOTIFIER
from peerscope.mesh.events import Publish
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
INTERVAL_S = 30.0
SEEDS = [1, 2]


def beating(
    peers: int, seed: int, senders: int, **options: bool
) -> tuple[Simulator, list[PeerId], SimulatedHeartbeats]:
    """A network at rest; some of its peers send heartbeats."""
    sim, ids = network(peers, seed)
    sim.run_parts("alerts")
    beats = SimulatedHeartbeats(sim, ids[:senders], HeartbeatConfig(interval_s=INTERVAL_S, **options))
    sim.run_until(sim.now + INTERVAL_S)
    return sim, ids, beats


@pytest.mark.parametrize("seed", SEEDS)
def test_exactly_one_peer_sends_once_per_interval(seed: int) -> None:
    sim, _, beats = beating(16, seed, 5)
    began = sim.now
    sim.run_until(began + 10 * INTERVAL_S)
    found = beats.since(began)
    assert len({peer for _, peer, _ in found}) == 1, f"seed {seed}"
    assert len(found) == 10, f"seed {seed}"
    assert {signal for _, _, signal in found} == {"ok"}
    state = beats.beats[-1][2].state
    assert (state.peers, state.up, state.down, state.senders, state.incidents_total) == (16, 16, 0, 5, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_senders_that_are_killed_one_after_the_other_are_replaced_within_two_intervals(seed: int) -> None:
    sim, _, beats = beating(16, seed, 4)
    began, killed = sim.now, []
    for offset_s in (3.0, 14.0, 29.5):  # at different moments of the interval
        sim.run_until(sim.now + 2 * INTERVAL_S + offset_s)
        killed.append(beats.sender())
        sim.crash(killed[-1])
    sim.run_until(sim.now + 4 * INTERVAL_S)
    found = beats.since(began)
    gaps = [later - earlier for (earlier, *_), (later, *_) in pairwise(found)]
    assert max(gaps) <= 2 * INTERVAL_S, f"seed {seed}: {gaps}"
    authors = list(dict.fromkeys(peer for _, peer, _ in found))
    assert authors[:3] == killed, "nobody sends before its turn"
    assert len(authors) == 4, f"seed {seed}"
    slots = Counter(int((at - began) // INTERVAL_S) for at, _, _ in found)
    assert sum(slots.values()) <= (sim.now - began) / INTERVAL_S + len(killed) + 1, "a takeover adds one at most"
    assert beats.beats[-1][2].state.down == 3


def test_when_all_senders_are_gone_nothing_is_sent() -> None:
    sim, ids, beats = beating(12, 1, 3)
    for peer in ids[:3]:
        sim.crash(peer)
    began = sim.now
    sim.run_until(began + 6 * INTERVAL_S)
    assert beats.since(began) == []


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_in_a_partition_only_a_side_with_half_of_the_peers_sends_and_it_has_one_sender(seed: int) -> None:
    sim, ids, beats = beating(18, seed, 18)
    small, large = set(ids[:6]), set(ids[6:])
    sim.cut(small, large)
    sim.run_until(sim.now + 30.0)
    began = sim.now
    sim.run_until(began + 6 * INTERVAL_S)
    found = beats.since(began)
    assert {peer for _, peer, _ in found} <= large, f"seed {seed}"
    assert len({peer for _, peer, _ in found}) == 1, f"seed {seed}"
    assert len(found) in (5, 6, 7)
    sim.heal()
    sim.run_until(sim.now + 60.0)
    began = sim.now
    sim.run_until(began + 6 * INTERVAL_S)
    assert len({peer for _, peer, _ in beats.since(began)}) == 1, f"seed {seed}: one again"


def test_a_small_rest_says_that_it_failed_where_the_operator_wants_that() -> None:
    sim, ids, beats = beating(12, 1, 12, fail=True)
    for peer in ids[:8]:
        sim.crash(peer)
    sim.run_until(sim.now + 70.0)  # some have lost all their observers
    began = sim.now
    sim.run_until(began + 4 * INTERVAL_S)
    found = beats.since(began)
    assert {signal for _, _, signal in found} == {"fail"}
    assert len({peer for _, peer, _ in found}) == 1
    state = beats.beats[-1][2].state
    assert (state.is_whole, state.peers, state.up) == (False, 12, 4)


def test_a_peer_that_leaves_is_no_loss_and_its_successor_says_start() -> None:
    sim, _, beats = beating(8, 1, 8, start=True)
    for _ in range(5):  # five of eight leave: those who stay are the whole network
        leaving = beats.sender()
        sim.leave(leaving)
        sim.run_until(sim.now + 2 * INTERVAL_S)
    began = sim.now
    sim.run_until(began + 4 * INTERVAL_S)
    assert {signal for _, _, signal in beats.since(began)} == {"ok"}
    starts = [peer for _, peer, signal in beats.since(0.0) if signal == "start"]
    assert len(starts) == len(set(starts)) == 6, "each sender says it once"
    assert (beats.beats[-1][2].state.peers, beats.beats[-1][2].state.up) == (3, 3)


def test_nobody_sends_without_channels_or_a_url_and_a_lone_peer_does() -> None:
    sim, ids = network(6, 1)
    sim.run_parts("alerts")
    beats = SimulatedHeartbeats(sim, [], HeartbeatConfig(interval_s=INTERVAL_S))
    for peer in ids:  # channels, but no URL
        core = sim.core_of(peer)
        core.run(sim.core_config.parts | {"messages"}, sim.now)
        assert core.config.notifier.heartbeat is None
    sim.run_until(sim.now + 4 * INTERVAL_S)
    assert beats.beats == []
    alone, (only,) = network(1, 1)
    alone.run_parts("alerts")
    lone = SimulatedHeartbeats(alone, [only], HeartbeatConfig(interval_s=INTERVAL_S))
    alone.run_until(alone.now + 4 * INTERVAL_S)
    assert len(lone.beats) in (3, 4)
    assert {signal for _, _, signal in lone.since(0.0)} == {"ok"}


def test_a_peer_that_was_told_to_join_others_and_met_nobody_sends_nothing() -> None:
    sim, ids, beats = beating(6, 1, 6)
    sender = beats.sender()
    for peer in ids:
        sim.crash(peer)
    sim.run_until(sim.now + 60.0)
    sim.start(sender, *(peer for peer in ids if peer != sender))  # it remembers them; none is there
    beats.set_up(sender)
    began = sim.now
    sim.run_until(began + 6 * INTERVAL_S)
    assert beats.since(began) == []


def test_the_former_sender_takes_over_again_when_it_is_back() -> None:
    sim, ids, beats = beating(10, 2, 4)
    first = beats.sender()
    sim.crash(first)
    sim.run_until(sim.now + 2 * INTERVAL_S)
    assert beats.sender() != first
    sim.start(first, *(peer for peer in ids if peer != first))
    beats.set_up(first)
    sim.run_until(sim.now + INTERVAL_S)
    began = sim.now
    sim.run_until(began + 5 * INTERVAL_S)
    assert {peer for _, peer, _ in beats.since(began)} == {first}
    assert len(beats.since(began)) == 5


def test_a_role_that_is_given_up_passes_on_and_a_lone_candidate_goes_on_without_it() -> None:
    sim, _, beats = beating(8, 1, 2)
    first = beats.sender()
    _give_up(sim, first)
    sim.run_until(sim.now + 10.0)
    second = beats.sender()
    assert second != first
    sim.crash(second)
    sim.run_until(sim.now + INTERVAL_S)
    began = sim.now
    sim.run_until(began + 3 * INTERVAL_S)
    assert {peer for _, peer, _ in beats.since(began)} == {first}


def _give_up(sim: Simulator, peer: PeerId) -> None:
    profile = sim.core_of(peer).peer.ledger.profile(peer)
    assert profile is not None
    sim.feed(peer, Publish(replace(profile, roles=(NOTIFIER,)), urgent=True))
