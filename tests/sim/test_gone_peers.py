"""Peers died. No number about them moves any more or passes for one of now, but for ages that say so by their names."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from gone import Mourning, leaves, mourning
from peerscope.mesh.events import Publish
from peerscope.records.alerts import Orders, Silence
from peerscope.records.identity import PeerId, short

pytestmark = pytest.mark.sim
MOVING = ("age_s", "since")
"""Ends of names that say so."""
AGES_BEFORE = ("last_heard_s",)
"""Ages that had their names before all ages were called alike."""
MEASURED = ("checks", "metrics", "uptime_s", "clock_skew_s", "rtt_s", "source_rtt_s", "target_rtt_s", "loss_ratio")
MEASURED += ("p50_s", "p95_s", "p99_s", "min_s", "max_s")


class Told:
    """What was shown at several moments after the deaths, the first of them as soon as all are called gone."""

    def __init__(self, network: Mourning, dead: Sequence[PeerId], region: str) -> None:
        self.network, self.dead, self.region = network, dead, region
        """`region`: in which nobody lives any more."""
        self.names = {peer.hex() for peer in dead} | {short(peer) for peer in dead} | {p.hex()[:16] for p in dead}
        self.died_at = network.network.snapshot().wall
        network.until_gone(dead)
        self.looks = [network.look(dead)]
        for later_s in (15.0, 60.0):  # alerts fire by then; every report of the dead has expired
            network.until(network.now + later_s)
            self.looks.append(network.look(dead))

    def is_about(self, names: Sequence[str]) -> bool:
        """Is something filed under these names about the dead?"""
        return any(part in self.names for name in names for part in re.split("[>/?=&]", name))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """One peer dies alone, later a whole region dies at one moment, and one says goodbye."""
    with mourning(tmp_path_factory.mktemp("mourning")) as network:
        network.until(25.0)
        simulator = network.network.simulator
        eye, *others = simulator.nodes
        region = next(node.region for node in simulator.nodes.values() if node.region != simulator.nodes[eye].region)
        outage = [peer for peer in others if simulator.nodes[peer].region == region]
        alone, leaving = [peer for peer in others if peer not in outage][:2]
        network.loop.call(simulator.crash, alone)
        network.until(40.0)
        for peer in outage:
            network.loop.call(simulator.crash, peer)
        network.loop.call(simulator.leave, leaving)
        yield Told(network, [alone, leaving, *outage], region)


def test_the_dead_are_of_every_kind(told: Told) -> None:
    verdicts = {told.network.network.snapshot().verdict(peer).value for peer in told.dead}
    assert verdicts == {"down", "left", "partitioned"}
    assert len(told.dead) >= 5


def test_no_number_about_the_dead_moves_unless_its_name_says_so(told: Told) -> None:
    moved, seen = [], 0
    for before, after in pairwise(told.looks):
        for route in before:
            later = {path: value for path, value, _ in leaves(after.get(route))}
            for path, value, names in leaves(before[route], (), (route,)):
                if "samples" in path or not told.is_about(names) or path not in later:
                    continue
                seen += 1
                name = str(path[-1] if path else "")
                if (
                    later[path] != value
                    and not name.endswith((*MOVING, *AGES_BEFORE))
                    and isinstance(value, int | float)
                ):
                    moved.append((route, path, value, later[path]))
    assert seen > 500
    assert moved == []


def test_ages_of_the_dead_grow_as_time_passes(told: Told) -> None:
    for peer in told.dead:
        route = f"/api/v1/peers/{peer.hex()}"
        ages = [look[route]["gone_age_s"] for look in told.looks]
        assert ages == sorted(ages)
        assert ages[0] < 30.0
        since = [look[route]["gone_since"] for look in told.looks]
        assert max(since) - min(since) < 1.0
        assert told.died_at - 20.0 <= since[0] <= told.died_at + 1.0


def test_nothing_that_the_dead_measured_is_shown_from_the_first_look_on(told: Told) -> None:
    shown = [
        (route, path, value)
        for look in told.looks
        for route, answer in look.items()
        for path, value, names in leaves(answer, (), (route,))
        if told.is_about(names) and value is not None and any(name in MEASURED for name in path)
    ]
    assert shown == []


def test_nobody_has_a_link_with_the_dead(told: Told) -> None:
    for look in told.looks:
        ends = {
            link[end]
            for answer in ("feed", "/api/v1/topology")
            for link in look[answer]["links"]
            for end in ("source", "target")
        }
        assert not ends & told.names
        assert not {link["peer_id"] for peer in look["/api/v1/peers"] for link in peer["links"]} & told.names
        for peer in look["feed"]["peers"]:
            if peer["peer_id"] in told.names:
                assert peer.keys() & {"rtt_s", "links", "started_at"} == set()
                assert peer["gone_since"] <= told.died_at + 1.0
            else:
                assert peer.get("links", 0) <= len(look["/api/v1/peers"]) - len(told.dead) - 1
        evidence = (look[f"/api/v1/peers/{peer.hex()}/evidence"] for peer in told.dead)
        assert not {observer for one in evidence for observer in one["heard_by"]} & told.names


def test_a_region_in_which_nobody_lives_has_no_latency(told: Told) -> None:
    for look in told.looks:
        regions = {one["region"]: one for one in (*look["/api/v1/regions"], *look["feed"]["regions"])}
        for one in (next(r for r in look["/api/v1/regions"] if r["region"] == told.region), regions[told.region]):
            assert one["rtt_s"] is None
            assert one["healthy_peers"] == 0
        for name, between in regions[told.region].get("cross_region", {}).items():
            assert (between["rtt_s"], between["links"]) == (None, 0), name
        for pair in look["/api/v1/latency"]["pairs"]:
            if told.region in (pair["source"], pair["target"]):
                assert (pair["measured"], pair["estimated"]) == (None, None)
        for route in look["/api/v1/routes?by=region"]:
            if told.region in route["via"]:
                assert route["gone"] == [told.region]
                assert route["p50_s"] is None


def test_the_past_of_the_dead_ends_with_them(told: Told) -> None:
    for look in told.looks:
        for route, answer in look.items():
            if route.startswith("/api/v1/history?"):
                late = [value for at, value in answer["samples"] if at > told.died_at + 10.0]
                assert not any(late), route
    assert any(
        value for _, value in told.looks[0][f"/api/v1/history?peer={told.dead[0].hex()}&metric=cpu_ratio"]["samples"]
    )


def test_all_counts_of_one_look_agree(told: Told) -> None:
    for look in told.looks:
        header = look["feed"]["health"]["down_peers"]
        assert header == look["/api/v1/health"]["down_peers"] == len(told.dead) - 1
        assert header == sum(region["down_peers"] for region in look["feed"]["regions"])
        assert header == sum(region["down_peers"] for region in look["/api/v1/regions"])
        assert header == sum(peer["status"] == "down" for peer in look["/api/v1/peers"])


def test_what_is_left_of_a_silence_is_reckoned_by_the_clock_of_the_agent(told: Told, peerscope: Any) -> None:
    """The network's clock is minutes ahead of ours by now."""
    author = next(peer.me for peer in told.network.network.simulator.alive() if peer.me != told.network.network.peer.me)
    order = Silence("0123abcd", (("rule", "cpu-*"),), 0, 600_000, "me", "why")
    told.network.loop.call(told.network.network.simulator.feed, author, Publish(Orders((order,)), urgent=True))
    told.network.until(told.network.now + 60.0)
    (silence,) = told.network.get("/api/v1/silences")
    assert silence["ends_in_s"] == pytest.approx(540.0, abs=2.0)
    assert silence["begun_age_s"] + silence["ends_in_s"] == pytest.approx(600.0, abs=0.001)
    line = peerscope("silences", "--api", told.network.http)[1].splitlines()[-1]
    assert line.split()[:5] == ["0123abcd", "rule=cpu-*", "for", "9", "min"]


LOOKS = (
    ["status"],
    ["peers"],
    ["peer", "DEAD"],
    ["why", "DEAD"],
    ["topology"],
    ["regions"],
    ["latency"],
    ["rtt", "ME", "DEAD"],
    ["alerts", "--all"],
    ["incidents", "--all"],
    ["routes", "--by", "peer"],
    ["routes"],
    ["threats"],
    ["zones"],
    ["metrics"],
    ["throughput"],
    ["silences"],
    ["topology", "--format", "dot"],
)
AGE = re.compile(r"[0-9]+ (s|min|h)\b")


@pytest.mark.parametrize("verb", LOOKS, ids=" ".join)
def test_no_line_about_the_dead_moves_on_the_command_line(told: Told, peerscope: Any, verb: list[str]) -> None:
    """Lines that name one of the dead, without their ages, are the same half a minute later, and give no round trip."""
    dead, me = told.dead[0].hex(), told.network.network.peer.me.hex()
    arguments = [{"DEAD": dead, "ME": me}.get(word, word) for word in verb]

    def lines() -> list[str]:
        code, said, complaint = peerscope(*arguments, "--api", told.network.http)
        assert (code in (0, 1), complaint) == (True, "")
        assert not re.search(r"-[0-9]+ (s|min|h)\b", said)  # our clock is minutes behind the network's
        whole = said.splitlines()
        return whole if "DEAD" in verb else [line for line in whole if any(short(peer) in line for peer in told.dead)]

    before = lines()
    told.network.until(told.network.now + 30.0)
    assert [AGE.sub("AGE", line) for line in lines()] == [AGE.sub("AGE", line) for line in before]
    assert not [line for line in before if re.search(r"[0-9] ms\b", line)]
