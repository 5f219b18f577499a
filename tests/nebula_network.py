"""Real hosts of a Nebula mesh on loopback for tests; ended whatever happens."""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

READY_S = 60.0
QUIET = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")


class NebulaNetwork:
    """Hosts by number; the first one is the lighthouse."""

    def __init__(self, folder: Path, ports: list[tuple[int, int, int]]) -> None:
        self.folder = folder
        self.ports = ports

    def address(self, number: int) -> str:
        return f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 200}.{number + 1}"

    def interface(self, number: int) -> str:
        return f"neb{os.getpid() % 100_000}x{number}"

    def spec(self, number: int) -> str:
        metrics, console, _ = self.ports[number]
        key = self.folder / "key"
        return f"nebula:http://127.0.0.1:{metrics}/metrics#ssh=127.0.0.1:{console}&ssh_user=ops&ssh_key={key}"

    def truth(self, number: int) -> dict[str, object]:
        """By the debug console, and the kernel's counters of the interface."""
        hosts = json.loads(self.ask(number, "list-hostmap -json")) or []
        shown = subprocess.run(["ip", "-j", "-s", "link", "show", self.interface(number)], capture_output=True)
        moved = json.loads(shown.stdout)[0]["stats64"]
        return {
            "node_id": self.address(number),
            "overlay": sorted(host["vpnAddrs"][0] if "vpnAddrs" in host else host["vpnIp"] for host in hosts),
            "p2p_peers": len(hosts),
            "received_bytes": moved["rx"]["bytes"],
            "sent_bytes": moved["tx"]["bytes"],
        }

    def ask(self, number: int, command: str) -> str:
        options = [part for option in QUIET for part in ("-o", option)]
        place = ["-p", str(self.ports[number][1]), "-i", str(self.folder / "key"), "ops@127.0.0.1"]
        done = subprocess.run(
            ["ssh", *options, *place, command], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
        return done.stdout

    def send(self, one: int, other: int) -> None:
        """Send a packet through the mesh: hosts shake hands when there is one to send."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface(one).encode())
            sender.sendto(b"hello", (self.address(other), 9))


@contextlib.contextmanager
def nebula_network(folder: Path, nodes: int) -> Iterator[NebulaNetwork]:
    """Hosts that all have a tunnel to the lighthouse. Needs root."""
    network = NebulaNetwork(folder, [(free(), free(), free(socket.SOCK_DGRAM)) for _ in range(nodes)])
    for name in ("key", "host-key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    cert = ["nebula-cert"]
    ca = ["-ca-crt", str(folder / "ca.crt"), "-ca-key", str(folder / "ca.key")]
    made = ["-out-crt", str(folder / "ca.crt"), "-out-key", str(folder / "ca.key")]
    subprocess.run([*cert, "ca", "-name", "test", *made], check=True, capture_output=True)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(nodes):
            named = ["-name", f"host{number}", "-ip", f"{network.address(number)}/24"]
            made = ["-out-crt", str(folder / f"{number}.crt"), "-out-key", str(folder / f"{number}.pem")]
            subprocess.run([*cert, "sign", *ca, *named, *made], check=True, capture_output=True)
            settings = folder / f"{number}.yml"
            settings.write_text(json.dumps(config(network, number)))  # JSON is YAML
            with (folder / f"{number}.log").open("wb") as output:
                command = ["nebula", "-config", str(settings)]
                processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        until(lambda: all(network.ask(one, "list-hostmap -json") for one in range(nodes)), f"consoles; see {folder}")
        for number in range(1, nodes):
            network.send(number, 0)
        until(lambda: all(network.truth(one)["overlay"] for one in range(nodes)), f"tunnels; logs in {folder}")
        yield network
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def config(network: NebulaNetwork, number: int) -> dict[str, object]:
    folder = network.folder
    metrics, console, port = network.ports[number]
    first = f"127.0.0.1:{network.ports[0][2]}"
    every = [{"port": "any", "proto": "any", "host": "any"}]
    pair = {"cert": str(folder / f"{number}.crt"), "key": str(folder / f"{number}.pem")}
    public = (folder / "key.pub").read_text().strip()
    return {
        "pki": {"ca": str(folder / "ca.crt"), **pair},
        "static_host_map": {network.address(0): [first]} if number else {},
        "lighthouse": {"am_lighthouse": not number, "interval": 5, "hosts": [network.address(0)] if number else []},
        "listen": {"host": "127.0.0.1", "port": port},
        "tun": {"dev": network.interface(number)},
        "stats": {
            "type": "prometheus",
            "listen": f"127.0.0.1:{metrics}",
            "path": "/metrics",
            "interval": "1s",
            "message_metrics": True,
        },
        "sshd": {
            "enabled": True,
            "listen": f"127.0.0.1:{console}",
            "host_key": str(folder / "host-key"),
            "authorized_users": [{"user": "ops", "keys": [public]}],
        },
        "firewall": {"outbound": every, "inbound": every},
    }


def until(truth: object, what: str) -> None:
    end = time.monotonic() + READY_S
    while not truth():  # type: ignore[operator]
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.2)


def free(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
