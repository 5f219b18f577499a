"""Presets against real exporters of programs that Debian has: values beside those of the program's own tool."""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from live import PATIENCE_S, client, running, until
from peerscope.errors import SourceError
from peerscope.sources.base import Reading
from peerscope.sources.prometheus import PrometheusSource
from yggdrasil_network import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.tools]
Need = Callable[[str], str]


@contextlib.contextmanager
def started(*commands: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs, killed whatever happens."""
    with contextlib.ExitStack() as stack:
        processes = []
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def read(source: PrometheusSource) -> Reading | None:
    """A reading; None while it does not answer."""
    try:
        return asyncio.run(source.read())
    except SourceError:
        return None


class Etcd:
    """Three members on loopback."""

    def __init__(self, program: str, folder: Path) -> None:
        self.ports = [(free_port(), free_port()) for _ in range(3)]
        cluster = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(self.ports))
        self.commands = []
        for number, (port, peer) in enumerate(self.ports):
            options = {"name": f"m{number}", "data-dir": folder / f"m{number}", "initial-cluster": cluster}
            options |= dict.fromkeys(("listen-peer-urls", "initial-advertise-peer-urls"), f"http://127.0.0.1:{peer}")
            options |= dict.fromkeys(("listen-client-urls", "advertise-client-urls"), f"http://127.0.0.1:{port}")
            self.commands.append([program, *(f"--{name}={value}" for name, value in options.items())])

    def spec(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number][0]}/metrics#etcd"

    def members(self) -> dict[str, str]:
        """Ids by name, as the program's own API shows them."""
        url = f"http://127.0.0.1:{self.ports[0][0]}/v3/cluster/member/list"
        with urllib.request.urlopen(urllib.request.Request(url, b"{}", method="POST"), timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return {member["name"]: f"{int(member['ID']):x}" for member in found["members"]}


def test_members_of_etcd_are_neighbours_until_they_are_gone(need: Need, tmp_path: Path) -> None:
    etcd = Etcd(need("etcd"), tmp_path)
    with started(*etcd.commands) as processes:
        source = PrometheusSource(etcd.spec(0))
        until(lambda: (found := read(source)) is not None and found.metrics.p2p_peers == 2, "both others are active")
        ids = etcd.members()
        found = read(source)
        assert found is not None
        assert found.node_id == ids["m0"]
        assert {link.node for link in found.overlay} == {ids["m1"], ids["m2"]}
        node = {"sources": [f"prometheus:{etcd.spec(0)}"]}
        with running(tmp_path / "agent", node=node, report={"interval_s": 0.3}) as agent, client(agent) as asking:
            until(lambda: asking.get("/api/v1/node").json()["node_id"] == ids["m0"], "the agent knows its id")
            assert set(asking.get("/api/v1/node").json()["neighbours"]) == {ids["m1"], ids["m2"]}
        processes[2].send_signal(signal.SIGKILL)
        until(
            lambda: (now := read(source)) is not None and [link.node for link in now.overlay] == [ids["m1"]],
            "the dead member is no neighbour",
        )


def test_a_tor_relay_without_connections_has_none(need: Need, tmp_path: Path) -> None:
    metrics, relay, folder = free_port(), free_port(), tmp_path / "tor"
    folder.mkdir(mode=0o700)
    options = {"DataDirectory": folder, "SocksPort": 0, "ORPort": f"127.0.0.1:{relay}", "Nickname": "test"}
    options |= {"AssumeReachable": 1, "ExitRelay": 0, "PublishServerDescriptor": 0, "MetricsPort": metrics}
    options |= {"MetricsPortPolicy": "accept 127.0.0.1", "ContactInfo": "nobody", "DisableNetwork": 0}
    (tmp_path / "torrc").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    source = PrometheusSource(f"http://127.0.0.1:{metrics}/metrics#tor")
    with started([need("tor"), "-f", str(tmp_path / "torrc"), "--defaults-torrc", "/dev/null"]):
        end = time.monotonic() + PATIENCE_S
        while (found := read(source)) is None:
            assert time.monotonic() < end, "it never answered"
            time.sleep(0.1)
    assert found.metrics.active_connections == 0
    assert 0 < float(found.details["sockets_opened"] or 0) < 100
    assert {measure.name: measure.value for measure in found.measures} == {"circuits_relayed": 0, "orconn": 0}
