"""Real WireGuard interfaces on loopback for tests, run by wireguard-go; ended whatever happens."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

READY_S = 30.0


class WireguardNetwork:
    """Interfaces of this network namespace, linked in a line; the last one has a link to nobody too."""

    def __init__(self, interfaces: list[str]) -> None:
        self.interfaces = interfaces
        self.keys: list[str] = []

    def spec(self, number: int) -> str:
        return f"wireguard:{self.interfaces[number]}"

    def truth(self, number: int) -> dict[str, object]:
        """As `wg show INTERFACE SUBCOMMAND` lists them, one subcommand a value."""
        name = self.interfaces[number]
        shakes = [line.split("\t") for line in shown(name, "latest-handshakes")]
        alive = sorted(key for key, at in shakes if time.time() - int(at) <= 180)
        moved = [line.split("\t") for line in shown(name, "transfer")]
        return {
            "node_id": shown(name, "public-key")[0],
            "overlay": alive,
            "tunnels": len(shown(name, "peers")),
            "active_connections": len(alive),
            "received_bytes": sum(int(line[1]) for line in moved),
            "sent_bytes": sum(int(line[2]) for line in moved),
        }

    def cut(self, number: int) -> None:
        """Let packets of this interface go where nobody listens."""
        for key in shown(self.interfaces[number], "peers"):
            wg("set", self.interfaces[number], "peer", key, "endpoint", "127.0.0.1:9")


@contextlib.contextmanager
def wireguard_network(folder: Path, nodes: int) -> Iterator[WireguardNetwork]:
    """Interfaces whose links have shaken hands. Needs root."""
    network = WireguardNetwork([f"wgt{os.getpid() % 100_000}x{number}" for number in range(nodes)])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, name in enumerate(network.interfaces):
            with (folder / f"{name}.log").open("wb") as output:
                command = ["wireguard-go", "--foreground", name]
                processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
            until(lambda name=name: f"interface: {name}" in "\n".join(shown(name)), f"{name} is there")
            private = subprocess.run(["wg", "genkey"], capture_output=True, check=True, text=True).stdout
            (folder / f"{name}.key").write_text(private)
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
            wg("set", name, "private-key", str(folder / f"{name}.key"))
            network.keys.append(shown(name, "public-key")[0])
            if number:
                link(network, number - 1, number)
                link(network, number, number - 1)
        nobody = subprocess.run(["wg", "genpsk"], capture_output=True, check=True, text=True).stdout.strip()
        wg("set", network.interfaces[-1], "peer", nobody)
        until(lambda: all(network.truth(one)["active_connections"] for one in range(nodes)), "all shake hands")
        yield network
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def link(network: WireguardNetwork, one: int, other: int) -> None:
    port = shown(network.interfaces[other], "listen-port")[0]
    options = ("endpoint", f"127.0.0.1:{port}", "persistent-keepalive", "1")
    wg("set", network.interfaces[one], "peer", network.keys[other], *options)


def wg(*arguments: str) -> None:
    subprocess.run(["wg", *arguments], check=True, timeout=10)


def shown(interface: str, *what: str) -> list[str]:
    done = subprocess.run(["wg", "show", interface, *what], capture_output=True, check=False, text=True, timeout=10)
    return done.stdout.splitlines()


def until(truth: object, what: str) -> None:
    end = time.monotonic() + READY_S
    while not truth():  # type: ignore[operator]
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.1)
