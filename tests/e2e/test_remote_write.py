"""Remote write into real stores: every sample that was written is read back, across outages, kills and elections.

The outages here are short. The full one: `OUTAGE_S=30 pytest tests/e2e/test_remote_write.py`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from demo_network import eventually, first_line, start
from live import came_true
from peerscope.export.config import RemoteWriteConfig
from peerscope.export.election import weight
from peerscope.export.receiver import RemoteWriteReceiver
from peerscope.export.remote_write import RemoteWrite
from peerscope.records.identity import PeerId
from stores import CURRENT, STORES, Prometheus, Series, VictoriaMetrics

pytestmark = [pytest.mark.e2e, pytest.mark.tools]
Need = Callable[[str], str]
OUTAGE_S = float(os.environ.get("OUTAGE_S", "2"))
LOOK_S = 0.05
SERIES = 300
PATIENCE_S = 60 + OUTAGE_S


@pytest.fixture(params=[*STORES.values(), *CURRENT], ids=lambda kind: kind.program)
def store(
    request: pytest.FixtureRequest, need: Need, need_current: Need, tmp_path: Path
) -> Iterator[Prometheus | VictoriaMetrics]:
    (tmp_path / "store").mkdir()
    store = request.param(need_current if request.param in CURRENT else need, tmp_path / "store")
    store.start()
    yield store
    store.stop()


class Toy:
    """Hundreds of series whose value is the number of the look: what is missing or comes twice shows."""

    def __init__(self) -> None:
        self.failure_log = 0

    def collect(self, of_us: bool, of_all: bool) -> list[Metric]:
        self.failure_log += 1
        family = GaugeMetricFamily("toy_value", "x", labels=["number", "text"])
        for number in range(SERIES):
            family.add_metric([str(number), 'quote " and \\ and 東京'], self.failure_log)
        return [family]


async def write(toy: Toy, state: Path, url: str, seconds: float, *, settle: bool) -> RemoteWrite:
    """One life of a writer."""
    config = RemoteWriteConfig(url=url, batch_samples_max=200, timeout_s=5)
    external = {"network": "test", "peer": "me"}
    writing = RemoteWrite(
        config, RemoteWriteReceiver(config), state, lambda: external, lambda: True, toy.collect, Random(1)
    )
    writing._tenure.is_ours = True
    sending = asyncio.create_task(writing._send_always())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await writing.sample()
        await asyncio.sleep(LOOK_S)
    if settle:
        await came_true(lambda: not writing.queue_samples, "everything is sent")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return writing


def test_every_sample_is_read_back_across_an_outage_and_restarts(
    store: Prometheus | VictoriaMetrics, tmp_path: Path
) -> None:
    toy = Toy()
    lives = [asyncio.run(write(toy, tmp_path, store.write_url, 1.0, settle=True))]
    store.stop()
    for _ in range(2):
        lives.append(asyncio.run(write(toy, tmp_path, store.write_url, OUTAGE_S / 2, settle=False)))
        assert lives[-1].queue_samples > 0
    store.start()
    lives.append(asyncio.run(write(toy, tmp_path, store.write_url, 1.0, settle=True)))
    assert sum(life.samples["sent"] for life in lives) == toy.failure_log * SERIES
    assert sum(life.samples["refused"] + life.samples["dropped"] for life in lives) == 0
    found: Series = {}

    def is_there() -> bool:  # a store may take a moment to show what it took
        found.update(store.samples("toy_value"))
        return sum(map(len, found.values())) >= toy.failure_log * SERIES

    eventually(is_there, "everything is read back", within_s=PATIENCE_S)
    assert len(found) == SERIES
    for labels, samples in found.items():
        about = dict(labels)
        assert (about["network"], about["peer"], about["text"]) == ("test", "me", 'quote " and \\ and 東京')
        assert [value for _, value in samples] == list(range(1, toy.failure_log + 1))
        assert [at for at, _ in samples] == sorted({at for at, _ in samples})


class Peers:
    """Real peers that write to one store."""

    def __init__(self, place: Path, url: str) -> None:
        self._place, self._url = place, url
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.ready: dict[str, dict[str, Any]] = {}

    def run(self, name: str, *tickets: str, mode: str = "elected") -> None:
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "127.0.0.1:0"]
        joins = [word for ticket in tickets for word in ("--join", ticket)]
        remote_write = {"URL": self._url, "INTERVAL_S": "1", "MODE": mode}
        environment = {f"PEERSCOPE_EXPORT__REMOTE_WRITE__{key}": value for key, value in remote_write.items()}
        with pytest.MonkeyPatch.context() as patch, (self._place / f"{name}.log").open("w") as log:
            for key, value in environment.items():
                patch.setenv(key, value)
            process = start([*command, "--state", str(self._place / name), *joins], stdin=subprocess.PIPE, stderr=log)
        self._running[name] = process
        self.ready[name] = json.loads(first_line(process))

    def name(self, peer: str) -> str:
        """Of the label `peer`."""
        return next(name for name, ready in self.ready.items() if ready["peer_id"].startswith(peer))

    def living(self) -> list[dict[str, Any]]:
        """The ready lines of those that run."""
        return [self.ready[name] for name in self._running]

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def leave(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)


@pytest.fixture
def victoria(need: Need, tmp_path: Path) -> Iterator[VictoriaMetrics]:
    (tmp_path / "store").mkdir()
    store = VictoriaMetrics(need, tmp_path / "store")
    store.start()
    yield store
    store.stop()


@pytest.fixture
def peers(victoria: VictoriaMetrics, tmp_path: Path) -> Iterator[Peers]:
    peers = Peers(tmp_path, victoria.write_url)
    yield peers
    peers.close()


def spans(store: VictoriaMetrics) -> dict[str, list[int]]:
    """When each peer wrote what it saw of the network, in milliseconds."""
    found = store.samples('peerscope_network_peers{status="healthy"}')
    return {dict(labels)["peer"]: [at for at, value in told if value is not None] for labels, told in found.items()}


def join_all(peers: Peers, *names: str, mode: str = "elected") -> None:
    peers.run(names[0], mode=mode)
    for name in names[1:]:
        peers.run(name, peers.ready[names[0]]["ticket"], mode=mode)


def writers(peers: Peers) -> set[str]:
    """Who says that it writes for all."""
    found = set()
    for ready in peers.living():
        with urllib.request.urlopen(ready["http"] + "/metrics", timeout=10) as page:
            if "peerscope_remote_write_elected 1.0" in page.read().decode():
                found.add(ready["peer_id"][:16])
    return found


def test_one_peer_writes_and_when_it_is_killed_another_until_it_returns(
    victoria: VictoriaMetrics, peers: Peers
) -> None:
    join_all(peers, "a", "b", "c")
    ids = [PeerId(bytes.fromhex(ready["peer_id"])) for ready in peers.ready.values()]
    first, second, _ = (peer.hex()[:16] for peer in sorted(ids, key=lambda peer: weight("", peer), reverse=True))
    eventually(lambda: writers(peers) == {first}, "one writes", within_s=PATIENCE_S)
    peers.kill(peers.name(first))
    eventually(lambda: writers(peers) == {second}, "the next one writes", within_s=PATIENCE_S)
    killed = max(spans(victoria)[first])
    eventually(lambda: max(spans(victoria).get(second, [0])) > killed + 5000, "and goes on", within_s=PATIENCE_S)
    peers.run(peers.name(first), peers.living()[0]["ticket"])
    eventually(lambda: writers(peers) == {first}, "the first one is back", within_s=PATIENCE_S)
    eventually(lambda: max(spans(victoria)[first]) > killed + 10_000, "and writes", within_s=PATIENCE_S)
    told = spans(victoria)
    back = min(at for at in told[first] if at > killed)
    both = [at for at in told[second] if at >= back]
    assert len(both) <= 2, f"both wrote, {len(both)} times"


def test_an_outage_of_the_store_leaves_no_gap_in_what_a_real_peer_wrote(
    victoria: VictoriaMetrics, peers: Peers
) -> None:
    peers.run("a")
    eventually(lambda: any(len(told) > 2 for told in spans(victoria).values()), "it writes", within_s=PATIENCE_S)
    victoria.stop()
    time.sleep(OUTAGE_S)
    victoria.start()
    resumed_ms = time.time() * 1000
    eventually(
        lambda: max(next(iter(spans(victoria).values()))) > resumed_ms + 2000, "it writes again", within_s=PATIENCE_S
    )
    (told,) = spans(victoria).values()
    seconds = [at // 1000 for at in told]
    assert seconds == list(range(seconds[0], seconds[-1] + 1)), "one sample in every second"
    peers.leave("a")
    eventually(lambda: has_ended(victoria), "a peer that leaves ends its series", within_s=PATIENCE_S)


def has_ended(store: VictoriaMetrics) -> bool:
    found = store.samples("peerscope_uptime_seconds")
    return all(told[-1][1] is None for told in found.values())


def test_where_every_peer_writes_each_tells_of_itself_and_one_of_the_network(
    victoria: VictoriaMetrics, peers: Peers
) -> None:
    join_all(peers, "a", "b", "c", mode="every")

    def own() -> set[str]:
        return {dict(labels)["peer"] for labels in victoria.samples("peerscope_uptime_seconds")}

    names = {ready["peer_id"][:16] for ready in peers.ready.values()}
    eventually(lambda: own() == names, "all three write", within_s=PATIENCE_S)
    eventually(
        lambda: any(len(told) > 5 for told in spans(victoria).values()), "one writes for all", within_s=PATIENCE_S
    )
    eventually(lambda: len(writers(peers)) == 1, "and only one", within_s=PATIENCE_S)
