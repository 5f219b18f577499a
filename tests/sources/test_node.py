"""Several sources of one node: whose word counts, what they are called, and wrong names."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from live import came_true
from nodes import Toy, at_work
from peerscope.agent.own_facts import FactReader
from peerscope.agent.traffic import Traffic
from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink, Status
from peerscope.records.measures import NodeMetrics
from peerscope.sources import base
from peerscope.sources import node as node_module
from peerscope.sources.base import Reading, make_source
from peerscope.sources.events import Gauge
from peerscope.sources.node import Node, NodeConfig, merge
from peerscope.sources.performance import node_metrics
from peerscope.sources.telemetry import Telemetry
from peerscope.threats.monitor import NodeActivity

BUILT_IN = {"telemetry", "prometheus", "beam", "yggdrasil"}


def failing() -> Any:
    raise SourceError("the socket is gone")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> dict[str, Toy]:
    """Sources "one" and "two", as if a package had brought them."""
    made = {"one": Toy(), "two": Toy(lambda: Reading(node="other", metrics=NodeMetrics(tunnels=9, errors=1)))}
    monkeypatch.setattr(node_module, "make_source", lambda spec: made.get(spec) or make_source(spec))
    return made


def node(*sources: str, name: str = "") -> Node:
    return Node(NodeConfig(sources=sources, name=name, timeout_s=0.2), 0.02, Random(0))


async def checked(of: Node, status: Status, then: Callable[[], None]) -> None:
    async with at_work(of):
        await came_true(lambda: (check := of.check()) is not None and check.status == status, f"it is {status.name}")
        then()


def test_of_two_that_tell_the_same_the_first_counts_and_the_other_fills_gaps() -> None:
    first = Reading(node="a", metrics=NodeMetrics(tunnels=0), details={"x": 1.0, "y": 1.0})
    second = Reading(
        node="b",
        node_id="b-1",
        version="2",
        metrics=NodeMetrics(tunnels=5, errors=7),
        overlay=(OverlayLink("b-2"),),
        latency_s=0.1,
        details={"y": 2.0, "z": 2.0},
    )
    merged = merge([first, second])
    assert merged == Reading(
        node="a",
        node_id="b-1",
        version="2",
        metrics=NodeMetrics(tunnels=0, errors=7),
        overlay=(OverlayLink("b-2"),),
        latency_s=0.1,
        details={"x": 1.0, "y": 1.0, "z": 2.0},
    )
    assert merge([first]) is first


def test_without_sources_there_is_no_node_and_no_check() -> None:
    alone = node()
    assert (alone.name, alone.node_id, alone.current(), alone.check(), alone.attachments) == (
        None,
        None,
        None,
        None,
        [],
    )


def test_a_node_has_a_name_before_it_answers_and_the_operators_name_wins(toys: dict[str, Toy]) -> None:
    assert node("one").name == "one"
    assert node("one", name="beam").name == "beam"

    async def scenario() -> None:
        unnamed = node("one")
        await checked(unnamed, Status.HEALTHY, lambda: None)
        assert unnamed.current() is not None
        assert (unnamed.name, unnamed.node_id) == ("toy", "toy-1")

    asyncio.run(scenario())


def test_one_of_two_that_fails_is_a_degraded_node_with_the_others_values(toys: dict[str, Toy]) -> None:
    toys["one"].does = failing
    both = node("one", "two")

    def told() -> None:
        check, reading = both.check(), both.current()
        assert check is not None
        assert check.message == "one: the socket is gone"
        assert reading is not None
        assert reading.metrics == NodeMetrics(tunnels=9, errors=1)

    asyncio.run(checked(both, Status.DEGRADED, told))


def test_a_node_none_of_whose_sources_answers_is_unhealthy_and_keeps_its_name(toys: dict[str, Toy]) -> None:
    both = node("one", "two")

    async def scenario() -> None:
        async with at_work(both):
            await came_true(lambda: both.current() is not None and both.node_id == "toy-1", "it answers")
            toys["one"].does = toys["two"].does = failing
            await came_true(lambda: both.current() is None, "it is gone")
            await came_true(lambda: both.check().status == Status.UNHEALTHY, "it is unhealthy")
            assert both.check().message == "one: the socket is gone; two: the socket is gone"
            assert (both.name, both.node_id) == ("toy", "toy-1")
            view = both.view()
            assert set(view.metrics.values()) == {None}
            assert [source.status for source in view.sources] == ["unhealthy", "unhealthy"]

    asyncio.run(scenario())


def test_a_field_that_one_source_leaves_out_once_is_no_flood(toys: dict[str, Toy]) -> None:
    """The first source counts from its restart on, the second since ever: what lies between is no traffic."""
    totals = {"messages": 100, "received_bytes": 1000, "sent_bytes": 1000, "dht_puts": 5}
    ever = NodeMetrics(messages=10**6, received_bytes=10**12, sent_bytes=10**12, dht_puts=10**7)
    toys["one"].does = lambda: Reading(node="x", metrics=NodeMetrics(**totals))
    toys["two"].does = lambda: Reading(node="x", metrics=ever)
    both = node("one", "two")
    reader = FactReader(both, cast(Traffic, None))
    most: dict[str, float] = {}
    rates: list[int | None] = []

    async def look(wanted: Callable[[NodeMetrics], bool]) -> None:
        await came_true(lambda: (now := both.current()) is not None and wanted(now.metrics), "it answers so")
        now = both.current()
        rates.append(node_metrics(last[0], now, 1.0)[1].throughput_bytes_s)
        last[0] = now
        for activity in reader.node():
            assert isinstance(activity, NodeActivity)
            most.update({name: max(most.get(name, 0), count) for name, count in activity.counts.items()})

    last: list[Reading | None] = [None]

    async def scenario() -> None:
        async with at_work(both):
            await look(lambda metrics: metrics.dht_puts == 5)
            toys["one"].does = lambda: Reading(node="x", metrics=NodeMetrics(messages=110))
            await look(lambda metrics: metrics.messages == 110)
            toys["one"].does = lambda: Reading(node="x", metrics=NodeMetrics(**(totals | {"messages": 120})))
            await look(lambda metrics: metrics.messages == 120)
            toys["one"].does = lambda: Reading(node="x", metrics=NodeMetrics(**{k: v + 30 for k, v in totals.items()}))
            await look(lambda metrics: metrics.dht_puts == 35)

    asyncio.run(scenario())
    assert most == {"messages": 10, "errors": 0, "bytes": 60, "lookups": 0, "puts": 30}
    assert rates == [None, None, None, 60]


def test_telemetry_that_nobody_listed_counts_from_its_first_event() -> None:
    async def scenario() -> None:
        quiet = node()
        async with at_work(quiet):
            assert quiet.telemetry.take([Gauge("tunnels", 4)])
            await came_true(lambda: quiet.current() is not None, "it was heard")
            assert quiet.current().metrics == NodeMetrics(tunnels=4)
            assert quiet.name == "node"
            assert quiet.check().status == Status.HEALTHY

    asyncio.run(scenario())


def test_a_source_that_waits_for_the_node_does_not_count_beside_one_that_answers(toys: dict[str, Toy]) -> None:
    both = node("one", "telemetry:beam")

    def told() -> None:
        assert both.check().message is None
        assert both.attachments[1].failures == 0

    asyncio.run(checked(both, Status.HEALTHY, told))


def test_listed_telemetry_is_missed_until_it_is_heard() -> None:
    expecting = node("telemetry:beam")
    assert isinstance(expecting.telemetry, Telemetry)

    def told() -> None:
        check = expecting.check()
        assert check is not None
        assert check.message == "telemetry: the node has sent no telemetry yet"

    asyncio.run(checked(expecting, Status.UNKNOWN, told))
    expecting = node("telemetry:beam")
    expecting.telemetry.silence_s = 1e-9  # it is overdue
    asyncio.run(checked(expecting, Status.UNHEALTHY, told))
    with pytest.raises(ConfigError, match="telemetry twice"):
        node("telemetry", "telemetry:again")


def test_all_sources_of_this_package_are_registered() -> None:
    assert set(base._known()) >= BUILT_IN
    assert isinstance(make_source("telemetry:beam"), Telemetry)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("yggdrsil:/run/y.sock", r"no source is called 'yggdrsil'.*beam, .*prometheus, .*yggdrasil"),
        ("", "no source is called ''"),
        ("prometheus:localhost", "'localhost' is no URL"),
        ("prometheus:file:///etc/passwd", "is no URL"),
        ("prometheus:http://me:secret@localhost/metrics", "its URL holds a password"),
        (
            "prometheus:http://localhost/metrics#nothing",
            "no mapping 'nothing'; presets are etcd, generic, go-libp2p",
        ),
    ],
)
def test_a_wrong_spec_is_told_before_anything_starts(spec: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_source(spec)


def test_a_factory_that_fails_and_one_that_makes_something_else_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, factory: Callable[[str], Any]) -> None:
            self._factory = factory

        def load(self) -> Callable[[str], Any]:
            return self._factory

    points = {"broken": Point(lambda _: 1 // 0), "wrong": Point(lambda _: 7)}
    monkeypatch.setattr(base, "_known", lambda: points)
    with pytest.raises(ConfigError, match="'broken:x' cannot be used: integer division"):
        make_source("broken:x")
    with pytest.raises(ConfigError, match=r"'wrong' makes a int, which has no read\(\) and close\(\)"):
        make_source("wrong")


@pytest.mark.parametrize("wrong", [{"timeout_s": 0.0}, {"timeout_s": 61.0}, {"silence_s": -1.0}, {"name": "a\nb"}])
def test_limits_of_the_settings_are_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    (key,) = wrong
    with pytest.raises(ConfigError, match=f"node.{key} is "):
        NodeConfig(**wrong)


def test_a_source_that_knows_the_kind_names_the_node_before_one_that_does_not() -> None:
    unnamed, named = Reading(node="node"), Reading(node="kubo", node_id="a")
    assert merge([unnamed, named]).node == "kubo"
    assert merge([named, unnamed]).node == "kubo"
    assert merge([unnamed, unnamed]).node == "node"
    assert merge([named, Reading(node="etcd")]).node == "kubo"


def test_telemetry_listed_first_does_not_name_the_node(toys: dict[str, Toy]) -> None:
    both = node("telemetry", "one")
    assert both.name == "one"  # before any answer

    async def scenario() -> None:
        async with at_work(both):
            both.telemetry.gauge("tunnels", 4)
            await came_true(
                lambda: (now := both.current()) is not None and (now.node, now.metrics.tunnels) == ("toy", 4),
                "both count",
            )
            toys["one"].does = failing
            await came_true(
                lambda: (check := both.check()) is not None and check.status == Status.DEGRADED, "the other one fails"
            )
            current = both.current()
            assert current is not None
            assert (current.node, current.metrics.tunnels, both.name) == ("toy", 4, "toy")

    asyncio.run(scenario())


def test_the_view_shows_the_age_of_the_latency(toys: dict[str, Toy]) -> None:
    toys["one"].does = lambda: Reading(node="toy", latency_s=0.2, latency_age_s=30.0)
    one = node("one")

    async def scenario() -> None:
        await checked(one, Status.HEALTHY, lambda: None)
        view = one.view()
        assert (view.latency_s, view.latency_age_s) == (0.2, 30.0)

    asyncio.run(scenario())
