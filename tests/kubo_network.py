"""Real kubo nodes on loopback for tests: a network of their own, without any public bootstrap."""

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from programs import Programs, programs
from yggdrasil_network import free_port


class KuboNetwork:
    """Nodes that know the first one, by number."""

    def __init__(self, program: str, folder: Path, running: Programs, nodes: int) -> None:
        self.running = running
        self.ids: list[str] = []
        self.rpc = [free_port() for _ in range(nodes)]
        self.swarm = [free_port() for _ in range(nodes)]
        self._program = program
        self._folder = folder

    def spec(self, number: int) -> str:
        """Its source."""
        return f"kubo:http://127.0.0.1:{self.rpc[number]}"

    def environment(self, number: int) -> dict[str, str]:
        """Where its commands find it."""
        return {"IPFS_PATH": str(self._folder / f"node-{number}"), "IPFS_TELEMETRY": "off"}

    def run(self, number: int, *words: str, stdin: str = "") -> str:
        """The output of a command of its own tool."""
        environment = {**os.environ, **self.environment(number)}
        command = [self._program, *words]
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, number: int, question: str) -> Any:
        """One answer of its RPC."""
        url = f"http://127.0.0.1:{self.rpc[number]}/api/v0/{question}"
        with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=10) as answer:
            return json.loads(answer.read())

    def _metrics(self, number: int, series: str) -> list[str]:
        url = f"http://127.0.0.1:{self.rpc[number]}/debug/metrics/prometheus"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return [line for line in answer.read().decode().splitlines() if line.startswith(series)]

    def truth(self, number: int) -> dict[str, object]:
        """Values by the node's own tool."""
        lines = self.run(number, "swarm", "peers", "--latency").splitlines()
        bandwidth = self.ask(number, "stats/bw")
        tables = self.run(number, "stats", "dht", "lan")
        return {
            "active_connections": len(lines),
            "peers": {line.partition(" ")[0].rpartition("/")[2]: line.partition(" ")[2] for line in lines},
            "received_bytes": bandwidth["TotalIn"],
            "sent_bytes": bandwidth["TotalOut"],
            "dht_nodes": tables.count("12D3Koo"),
            "blocks_received": self.ask(number, "bitswap/stat")["BlocksReceived"],
            "dht_puts": sum(
                float(line.rpartition(" ")[2]) for line in self._metrics(number, "provider_provides_total")
            ),
            "repository": int(self.run(number, "repo", "stat", "--size-only").split()[1]),
        }


@contextlib.contextmanager
def kubo_network(program: str, folder: Path, nodes: int = 3) -> Iterator[KuboNetwork]:
    """All nodes bootstrap from the first one."""
    with programs(folder) as running:
        network = KuboNetwork(program, folder, running, nodes)
        for number in range(nodes):
            first = [f"/ip4/127.0.0.1/tcp/{network.swarm[0]}/p2p/{network.ids[0]}"] if number else []
            network.run(number, "init", "--profile=test")
            place = folder / f"node-{number}" / "config"
            config = json.loads(place.read_text())
            config["Addresses"] |= {
                "API": f"/ip4/127.0.0.1/tcp/{network.rpc[number]}",
                "Gateway": [],
                "Swarm": [f"/ip4/127.0.0.1/tcp/{network.swarm[number]}"],
            }
            config |= {"Bootstrap": first, "AutoConf": {"Enabled": False}, "AutoTLS": {"Enabled": False}}
            config["Routing"] |= {"Type": "dhtserver", "LoopbackAddressesOnLanDHT": True}
            place.write_text(json.dumps(config))
            network.ids.append(config["Identity"]["PeerID"])
            running.start(f"kubo-{number}", program, "daemon", environment=network.environment(number))
            running.until(lambda number=number: bool(network.ask(number, "id")), "a node answers")
        running.until(lambda: len(network.ask(0, "swarm/peers")["Peers"] or ()) == nodes - 1, "all are linked")
        yield network
