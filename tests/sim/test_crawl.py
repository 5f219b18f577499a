"""Strangers map simulated networks: whole ones, and those with dead, slow and lying peers."""

import pytest
from msgspec.structs import replace

from network import network
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.records.identity import PeerId
from peerscope.sim.network import NetworkFaults, fixed
from peerscope.sim.run import run
from peerscope.sim.scenario import load
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
LATE = ("not-linked", "replayed")
"""Whatever happens, messages come after a connection is closed, and records twice."""


def links(sim: Simulator) -> set[frozenset[PeerId]]:
    return {frozenset((peer.me, other)) for peer in sim.alive() for other in peer.links.up()}


def test_it_finds_all_peers_and_all_links_and_leaves_no_trace() -> None:
    sim, ids = network(30, seed=1)
    before = [{k: n for k, n in peer.refused.items() if k not in LATE} for peer in sim.alive()]
    crawler = sim.crawl("far", ids[5:6], WalkConfig())
    sim.run_until(sim.now + 10.0)
    survey = crawler.walk.survey()
    assert set(survey.depths) == set(ids)
    assert {frozenset(pair) for pair in survey.links} == links(sim)
    assert all(survey.links.values())
    assert (survey.unreachable, survey.unasked, survey.stopped) == ({}, 0, None)
    for peer, then in zip(sim.alive(), before, strict=True):
        assert {reason: n for reason, n in peer.refused.items() if reason not in LATE} == then
    for peer in sim.alive():
        assert set(peer.ledger) == set(ids)
        assert set(peer.links) <= set(ids)


def test_peers_that_are_paused_are_unreachable_and_the_others_found() -> None:
    sim, ids = network(30, seed=2)
    for peer in ids[3:6]:
        sim.pause(peer, 60.0)
    crawler = sim.crawl("far", ids[:1], WalkConfig())
    sim.run_until(sim.now + 30.0)
    survey = crawler.walk.survey()
    assert set(survey.depths) == set(ids) - set(ids[3:6])
    assert set(survey.unreachable) == set(ids[3:6])
    assert survey.seconds < 15.0


def test_half_the_packets_lost_makes_it_slow_but_not_blind() -> None:
    sim, ids = network(20, seed=3)
    sim.network.faults = NetworkFaults(loss=0.5)
    crawler = sim.crawl("far", ids[:3], WalkConfig())
    sim.run_until(sim.now + 60.0)
    assert len(crawler.walk.survey().depths) >= 16


def test_forty_crawls_at_once_are_slowed_down_and_all_answered() -> None:
    sim, ids = network(20, seed=4)
    crawlers = [sim.crawl("far", ids[:1], WalkConfig()) for _ in range(40)]
    sim.run_until(sim.now + 60.0)
    assert [len(crawler.walk.survey().depths) for crawler in crawlers] == [20] * 40
    assert sum(peer.refused["crawl-too-often"] for peer in sim.alive()) > 0


def test_a_limit_on_peers_is_kept() -> None:
    sim, ids = network(30, seed=5)
    crawler = sim.crawl("far", ids[:1], WalkConfig(peers_max=10))
    sim.run_until(sim.now + 10.0)
    survey = crawler.walk.survey()
    assert (len(survey.depths), survey.stopped) == (10, "10 peers were asked")


def test_a_large_network_is_mapped_within_seconds_at_links_of_50_ms() -> None:
    clean = replace(load("crawl"), peers=100, duration_s=8.0, settle_s=5.0)
    crawl = run(replace(clean, steps=clean.steps[-1:]), seed=1, signed=False).crawl
    assert crawl is not None
    assert (crawl.found, crawl.missed, crawl.unreachable, crawl.stopped) == (100, 0, 0, None)
    assert crawl.links == crawl.confirmed
    assert crawl.seconds < 2.0


@pytest.mark.parametrize("seed", [1, 2])
def test_liars_and_noise_cost_time_but_hide_nobody(seed: int) -> None:
    outcome = run(replace(load("crawl"), peers=30), seed=seed)
    crawl = outcome.crawl
    assert crawl is not None
    assert outcome.failures == ()
    assert (crawl.missed, crawl.found) == (0, 26)
    assert crawl.asked <= 30 + 2 * 64
    assert crawl.unreachable >= 2 * 64
    assert crawl.confirmed < crawl.links


def test_the_latency_of_the_scenario_is_that_of_every_link() -> None:
    sim = Simulator(seed=1, latency=fixed(0.05))
    assert sim.network.delay_s("here", "there") == sim.network.delay_s("here", "here") == 0.025
