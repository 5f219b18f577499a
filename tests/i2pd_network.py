"""Real I2P routers for tests: a network of their own, on addresses of the loopback interface that i2pd accepts.

i2pd takes no connections from 127.0.0.1. So the interface gets further addresses, which takes the rights of root in the
network namespace of the test.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import socket
import ssl
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Programs, page_settings, programs
from yggdrasil_network import free_port

PASSWORD = "only-for-tests"
SIOCSIFADDR = 0x8916  # from <linux/sockios.h>
SHORTEST_IDENTITY_BYTES = 387
KEYS = {
    "p2p_peers": "i2p.router.netdb.activepeers",
    "tunnels": "i2p.router.net.tunnels.participating",
    "routers_known": "i2p.router.netdb.knownpeers",
    "received_bytes": "i2p.router.net.total.received.bytes",
    "sent_bytes": "i2p.router.net.total.sent.bytes",
    "version": "i2p.router.version",
    "uptime_ms": "i2p.router.uptime",
}


class I2pdNetwork:
    """Routers, by number."""

    def __init__(self, folder: Path, running: Programs, nodes: int) -> None:
        self.running = running
        self.port = [free_port() for _ in range(nodes)]
        self.control = [free_port() for _ in range(nodes)]
        self.password = folder / "password"
        self.password.write_text(PASSWORD + "\n")
        self._folder = folder

    def data(self, number: int) -> Path:
        """Its data directory."""
        return self._folder / f"router-{number}"

    def spec(self, number: int) -> str:
        """Its source."""
        files = f"password_file={self.password}&ca_file={self.data(number) / 'i2pcontrol.crt.pem'}"
        return f"i2pd:https://127.0.0.1:{self.control[number]}#{files}"

    def ask(self, number: int, method: str, **params: Any) -> dict[str, Any]:
        """One answer of one router."""
        question = json.dumps({"id": 1, "method": method, "params": params, "jsonrpc": "2.0"}).encode()
        anything = ssl.create_default_context()
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        url = f"https://127.0.0.1:{self.control[number]}/"
        with urllib.request.urlopen(url, question, timeout=10, context=anything) as answer:
            found: dict[str, Any] = json.loads(answer.read())["result"]
            return found

    def truth(self, number: int) -> dict[str, object]:
        """Values by the router's own interface."""
        token = self.ask(number, "Authenticate", API=1, Password=PASSWORD)["Token"]
        found = self.ask(number, "RouterInfo", Token=token, **dict.fromkeys(KEYS.values(), ""))
        return {name: found[key] for name, key in KEYS.items()}


@contextlib.contextmanager
def i2pd_network(program: str, folder: Path) -> Iterator[I2pdNetwork]:
    """Two routers. The second one knows the first one from the start."""
    with programs(folder) as running:
        network = I2pdNetwork(folder, running, 2)
        for number in range(2):
            host = f"11.0.0.{number + 1}"
            _give_loopback(f"lo:{number + 1}", host)
            control = page_settings("i2pd").replace("7650", str(network.control[number])).replace("CHANGE-ME", PASSWORD)
            data = network.data(number)
            data.mkdir()
            (data / "i2pd.conf").write_text(
                f"netid = 99\nhost = {host}\naddress4 = {host}\nport = {network.port[number]}\n"
                "nat = false\nreservedrange = false\nipv6 = false\nfloodfill = true\nlog = stdout\n"
                "[reseed]\nthreshold = 0\n[ssu2]\nenabled = false\npublished = false\n"
                "[exploratory]\ninbound.length = 1\noutbound.length = 1\n"
                "[http]\nenabled = false\n[httpproxy]\nenabled = false\n[socksproxy]\nenabled = false\n"
                f"[sam]\nenabled = false\n{control}"
            )
            if number:
                _introduce(network.data(0) / "router.info", data / "netDb")
            running.start(f"i2pd-{number}", program, f"--conf={data / 'i2pd.conf'}", f"--datadir={data}")
            # Its description of itself is whole by then: the file is there, and empty, a while before.
            running.until(lambda number=number: bool(network.truth(number)), "a router answers")
        yield network


def _give_loopback(name: str, address: str) -> None:
    place = struct.pack("<HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, SIOCSIFADDR, struct.pack("16s16s", name.encode(), place))
        except PermissionError:
            pytest.skip("i2pd takes no connections on 127.0.0.1, and only root may add an address to loopback")


def _introduce(router: Path, database: Path) -> None:
    """Put the description of a router where another one looks for it: by the hash of its identity."""
    data = router.read_bytes()
    size = SHORTEST_IDENTITY_BYTES + int.from_bytes(data[385:387], "big")
    name = base64.b64encode(hashlib.sha256(data[:size]).digest(), altchars=b"-~").decode()
    folder = database / f"r{name[0]}"
    folder.mkdir(parents=True)
    (folder / f"routerInfo-{name}.dat").write_bytes(data)
