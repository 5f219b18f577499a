"""Real WireGuard interfaces and real Nebula hosts, read as their how-tos say, beside what their own tools show."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nebula_network import nebula_network
from peerscope.sources.base import Reading, make_source
from wireguard_network import wireguard_network

TUN = Path("/dev/net/tun")
pytestmark = [pytest.mark.tools, pytest.mark.skipif(not TUN.exists(), reason=f"this machine has no {TUN}")]
HOWTO = Path(__file__).parents[2] / "docs/howto/nodes"
Need = Callable[[str], str]


def specs(page: str) -> list[str]:
    """The specs that a how-to shows."""
    return re.findall(r"--node-source '?([^\s']+)", (HOWTO / page).read_text(encoding="utf-8"))


def values(reading: Reading, names: dict[str, object]) -> dict[str, object]:
    known: dict[str, object] = {"node_id": reading.node_id, "overlay": [link.node for link in reading.overlay]}
    return {name: known[name] if name in known else getattr(reading.metrics, name) for name in names}


def read(spec: str) -> Reading:
    return asyncio.run(make_source(spec).read())


def test_wireguard_is_read_as_its_tool_shows_it(need: Need, tmp_path: Path) -> None:
    need("wireguard-go")
    need("wg")
    every, one = specs("wireguard.md")
    with wireguard_network(tmp_path, 3) as network:
        for number, interface in enumerate(network.interfaces):
            # A keepalive may pass between two looks.
            for _ in range(20):
                before, found = network.truth(number), read(one.replace("wg0", interface))
                if before == network.truth(number):
                    break
            assert values(found, before) == before
            assert network.spec(number) == one.replace("wg0", interface)
        assert set(network.interfaces) <= set(str(read(every).details["interfaces"]).split(", "))


def test_nebula_is_read_as_its_console_shows_it(need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("nebula", "nebula-cert", "ssh", "ssh-keygen"):
        need(program)
    monkeypatch.setenv("HOME", str(tmp_path))
    with nebula_network(tmp_path, 3) as network:
        network.send(1, 2)
        for number in range(3):
            (spec,) = specs("nebula.md")
            metrics, console, _ = network.ports[number]
            spec = spec.replace("nebula:", f"nebula:http://127.0.0.1:{metrics}/metrics").replace(":2222", f":{console}")
            spec = spec.replace("/etc/peerscope/console", str(tmp_path / "key"))
            assert spec == network.spec(number)
            for _ in range(50):  # the metrics are up to a second old
                truth, found = network.truth(number), read(spec)
                if values(found, truth) == truth:
                    break
                time.sleep(0.2)
            assert values(found, truth) == truth
            assert truth["p2p_peers"] == 2 or not number
