"""aria2 and Transmission in a small DHT of libtorrent nodes, for crawl_foreign.py.

Their addresses are 10.7.0.N on the loopback interface: Transmission ignores nodes in 127.0.0.0/8. That takes root in a
network namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mainline_network import MainlineNetwork, mainline_network

NETWORK, NODES = "10.7", 6
ARIA2, TRANSMISSION = f"{NETWORK}.0.77", f"{NETWORK}.0.88"
ARIA2_PORT, TRANSMISSION_PORT = 7001, 7010
JOIN_S = 40.0
SIOCSIFADDR = 0x8916  # from <linux/sockios.h>


@contextlib.contextmanager
def mainline_programs() -> Iterator[tuple[MainlineNetwork, dict[str, str]]]:
    """The network, and the address of each program that nodes of the network know by now."""
    hosts = [f"{NETWORK}.0.{number + 1}" for number in range(NODES)]
    for number, host in enumerate([*hosts, ARIA2, TRANSMISSION]):
        add_address(number, host)
    with tempfile.TemporaryDirectory() as name, mainline_network(NODES, NETWORK) as network:
        folder = Path(name)
        started = [start(aria2(folder), folder), start(transmission(folder, network.places), folder)]
        addresses = {"aria2": f"{ARIA2}:{ARIA2_PORT}", "transmission": f"{TRANSMISSION}:{TRANSMISSION_PORT}"}
        try:
            end = time.monotonic() + JOIN_S
            while time.monotonic() < end:
                known = {place for node in network.tables().values() for place in node["table"]}
                if known.issuperset(addresses.values()):
                    break
                network.order("look")
                time.sleep(2.0)
            yield network, addresses
        finally:
            for process in started:
                process.kill()
                process.wait()


def add_address(number: int, host: str) -> None:
    """Give the loopback interface one more address, through an alias."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        packed = struct.pack("16sH2s4s8x", f"lo:{number + 1}".encode(), socket.AF_INET, b"", socket.inet_aton(host))
        fcntl.ioctl(any_socket, SIOCSIFADDR, packed)


def aria2(folder: Path) -> list[str]:
    return [
        *("aria2c", "--enable-dht=true", f"--dht-listen-port={ARIA2_PORT}", "--listen-port=7002"),
        *(f"--interface={ARIA2}", f"--dht-entry-point={NETWORK}.0.1:6881", f"--dht-file-path={folder}/dht.dat"),
        *(f"--dir={folder}", f"magnet:?xt=urn:btih:{'ab' * 20}"),
    ]


def transmission(folder: Path, places: list[str]) -> list[str]:
    settings = {
        "bind-address-ipv4": TRANSMISSION,
        "dht-enabled": True,
        "lpd-enabled": False,
        "peer-port": TRANSMISSION_PORT,
        "port-forwarding-enabled": False,
        "rpc-enabled": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "dht.bootstrap").write_text("".join(place.replace(":", " ") + "\n" for place in places))
    return ["transmission-daemon", "--foreground", "--config-dir", str(folder)]


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"HOME": str(folder)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
