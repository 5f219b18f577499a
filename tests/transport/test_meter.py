"""What an agent measures of itself, its traffic and the node beside it, with a real peer behind a transport of ours."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

from limits import no_descriptors
from peerscope.agent.measurement import Measurement
from peerscope.core import Core, CoreConfig
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.checks import HealthConfig
from peerscope.mesh.events import Connected, Event, Lane, Measured, Received
from peerscope.mesh.messages import Ping, encode
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Check, Status
from peerscope.records.identity import Identity, PeerId
from peerscope.records.measures import NodeMetrics, PerformanceMetrics, ReportedNode
from peerscope.sources.base import Reading
from peerscope.sources.host import Host
from peerscope.transport.driver import Driver

OTHER = Identity(b"\1" * 32).peer_id


class Quiet:
    """A transport on which nothing happens by itself."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.ticket, self.addresses, self.queued = "none", (), 3
        self.fed: list[Event] = []

    async def receive(self, timeout_s: float) -> list[Event]:
        await asyncio.sleep(0)
        return []

    def relayed(self) -> frozenset[PeerId] | None:
        return None

    def inject(self, event: Event) -> None:
        self.fed.append(event)

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None: ...

    def dial(self, peer: PeerId, addresses: tuple[str, ...], *, afresh: bool = False) -> None: ...

    def hang_up(self, peer: PeerId, reason: str) -> None: ...

    async def close(self) -> None: ...


class Node:
    """A node that tells what it is told to."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.is_attached = True

    def check(self) -> Check | None:
        return Check(Status.HEALTHY) if self.is_attached else None

    def current(self) -> Reading | None:
        return self.reading


class Agent:
    """A meter and what it measures."""

    def __init__(self, volume: Path, node: Node | None = None) -> None:
        self.transport = Quiet()
        self.peer = Peer(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(0.0, 1e9))
        self.driver = Driver(Core(CoreConfig(), self.peer, 0.0, 1e9), self.transport, lambda _: None)
        self.measurement = Measurement(Host(HealthConfig(), volume), self.driver, self.transport, 0.1, node)

    def measure(self) -> Measured:
        return asyncio.run(self.measurement.measure())


def test_what_the_agent_costs_and_loses(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.peer.refused["forged"] += 2
    agent.transport.counters.update({"datagram-dropped": 3, "dial-failed": 100})
    metrics = agent.measure().metrics
    assert metrics is not None
    assert (metrics.agent.queued, metrics.agent.dropped) == (3, 5)  # a peer that is not there is no lost message
    assert metrics.agent.rss_kib is not None
    assert metrics.agent.rss_kib > 1024
    assert metrics.agent.cpu is not None


def test_what_cannot_be_read_for_want_of_descriptors_is_unknown_and_ends_nothing(tmp_path: Path) -> None:
    agent = Agent(tmp_path)

    async def measured() -> tuple[Measured, Measured]:
        with no_descriptors():
            without = await agent.measurement.measure()
        return without, await agent.measurement.measure()

    without, with_some = asyncio.run(measured())
    assert without.metrics is not None
    assert with_some.metrics is not None
    assert without.metrics.agent.rss_kib is None
    assert without.metrics.agent.queued == 3  # known without opening anything
    assert without.metrics.system.memory_used_kib is None
    assert [check.status for check in without.checks].count(Status.UNKNOWN) >= 2
    assert with_some.metrics.agent.rss_kib is not None
    assert with_some.metrics.system.memory_used_kib is not None
    assert Status.UNKNOWN not in [check.status for check in with_some.checks]


def test_a_turn_that_comes_late_is_told_once(tmp_path: Path) -> None:
    agent = Agent(tmp_path)  # its deadlines are those of a peer started at time 0: long ago

    async def one_turn() -> None:
        driving = asyncio.create_task(agent.driver.run())
        await asyncio.sleep(0.01)
        driving.cancel()

    asyncio.run(one_turn())
    lags = [measured.metrics.agent.lag_us for _ in range(2) if (measured := agent.measure()).metrics]
    assert lags[0]
    assert lags[1] == 0


def test_without_a_node_performance_is_that_of_the_mesh(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    quiet = agent.measure().metrics
    assert quiet is not None
    assert quiet.node is None
    assert quiet.performance == PerformanceMetrics(None, None, 0)
    agent.peer.handle(Connected(OTHER, False), 1.0)
    for data in (b"nonsense", encode(Ping(1, 5, 0))):  # before hello
        agent.peer.handle(Received(OTHER, data), 1.0)
    busy = agent.measure().metrics
    assert busy is not None
    assert busy.performance.error == 10_000
    assert busy.performance.throughput_bytes_s


def test_an_attached_node_tells_its_own_performance(tmp_path: Path) -> None:
    node = Node()
    agent = Agent(tmp_path, node)
    node.reading = Reading(node="beam", metrics=NodeMetrics(messages=100, errors=0), latency_s=0.5)
    agent.measure()
    node.reading = Reading(node="beam", metrics=NodeMetrics(messages=120, errors=5))
    for _ in range(2):  # the same reading again says nothing of the time in between
        measured = agent.measure()
        assert measured.node == Check(Status.HEALTHY)
        assert measured.metrics is not None
        assert measured.metrics.node == ReportedNode(messages=120, errors=5)
        assert measured.metrics.performance == PerformanceMetrics(error=2500)
    node.reading = None
    measured = agent.measure()
    assert measured.metrics is not None
    assert (measured.metrics.node, measured.metrics.performance) == (ReportedNode(), PerformanceMetrics())


def test_an_attachment_without_a_node_is_none(tmp_path: Path) -> None:
    node = Node()
    node.is_attached = False
    measured = Agent(tmp_path, node).measure()
    assert measured.node is None
    assert measured.metrics is not None
    assert measured.metrics.node is None


def test_the_core_is_told_again_and_again(tmp_path: Path) -> None:
    agent = Agent(tmp_path)

    async def while_measuring() -> None:
        measuring = asyncio.create_task(agent.measurement.run())
        while len(agent.transport.fed) < 2:
            await asyncio.sleep(0.01)
        measuring.cancel()

    asyncio.run(while_measuring())
    assert all(isinstance(event, Measured) and len(event.checks) == 4 for event in agent.transport.fed)
