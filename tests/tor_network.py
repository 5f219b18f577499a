"""A real Tor network on loopback for tests: a directory authority, relays, and a client."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from programs import Programs, page_settings, programs
from yggdrasil_network import free_port

TESTING = """
TestingTorNetwork 1
Address 127.0.0.1
AssumeReachable 1
ExitPolicyRejectPrivate 0
Schedulers Vanilla
ShutdownWaitLength 0
ContactInfo nobody@example.org
"""
AUTHORITY = """
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
"""


class TorNetwork:
    """Nodes by number: the authority, relays, and the client at the end."""

    def __init__(self, folder: Path, running: Programs, relays: int) -> None:
        self.running = running
        self.client = relays
        self.control = [free_port() for _ in range(relays + 1)]
        self.orport = [free_port() for _ in range(relays)]
        self.metrics = [free_port() for _ in range(relays)]
        self._folder = folder

    def data(self, number: int) -> Path:
        """Its data directory."""
        return self._folder / f"tor-{number}"

    def spec(self, number: int) -> str:
        """Its source."""
        return f"tor:127.0.0.1:{self.control[number]}"

    def fingerprint(self, number: int) -> str:
        """Of a relay, as its own file has it."""
        return (self.data(number) / "fingerprint").read_text().split()[1]

    def ask(self, number: int, key: str) -> str:
        """One value of one node, by the cookie itself."""
        cookie = (self.data(number) / "control_auth_cookie").read_bytes().hex()
        with socket.create_connection(("127.0.0.1", self.control[number]), timeout=10) as control:
            control.sendall(f"AUTHENTICATE {cookie}\r\nGETINFO {key}\r\nQUIT\r\n".encode())
            data = b""
            while chunk := control.recv(65536):
                data += chunk
        return data.decode().partition("=")[2].partition("\r\n250 OK")[0].removesuffix("\r\n.").strip()

    def truth(self, number: int) -> dict[str, object]:
        """Values by the node's own answers."""
        connections = [line.split() for line in self.ask(number, "orconn-status").split("\r\n") if line]
        return {
            "active_connections": sum(line[-1] == "CONNECTED" for line in connections),
            "received_bytes": int(self.ask(number, "traffic/read")),
            "sent_bytes": int(self.ask(number, "traffic/written")),
            "version": self.ask(number, "version"),
            "circuits": sum(" BUILT " in line for line in self.ask(number, "circuit-status").split("\r\n")),
        }


@contextlib.contextmanager
def tor_network(program: str, folder: Path, relays: int = 4) -> Iterator[TorNetwork]:
    """A directory authority, three more relays (fewer take three times as long to build circuits) and a client."""
    with programs(folder) as running:
        network = TorNetwork(folder, running, relays)
        directory = free_port()
        (network.data(0) / "keys").mkdir(parents=True, mode=0o700)
        identity = _certificate(network.data(0) / "keys", directory)
        line = f"authority orport={network.orport[0]} no-v2 v3ident={identity} 127.0.0.1:{directory}"
        for number in range(relays + 1):
            network.data(number).mkdir(mode=0o700, exist_ok=True)
            network.data(number).chmod(0o700)
            text = TESTING + page_settings("tor").replace("9051", str(network.control[number]))
            text += f"DataDirectory {network.data(number)}\n"
            if number == network.client:
                text += f"SocksPort {free_port()}\n"
            else:
                text += f"Nickname relay{number}\nORPort 127.0.0.1:{network.orport[number]} IPv4Only\nSocksPort 0\n"
                text += f"ExitRelay 1\nExitPolicy accept *:*\nMetricsPort 127.0.0.1:{network.metrics[number]}\n"
                text += "MetricsPortPolicy accept 127.0.0.1\n"
            if number == 0:
                text += AUTHORITY + f"DirPort 127.0.0.1:{directory}\n"
            place = network.data(number) / "torrc"
            if number == 0:  # its fingerprint does not exist before
                place.write_text(text)
                words = ["--list-fingerprint", "--DirAuthority", f"{line} {'A' * 40}"]
                subprocess.run([program, "-f", str(place), *words], capture_output=True, check=True, timeout=30)
            place.write_text(text + f"DirAuthority {line} {network.fingerprint(0)}\n")
            running.start(f"tor-{number}", program, "-f", str(place))
        yield network


def _certificate(keys: Path, directory: int) -> str:
    """Make an authority's keys; its identity."""
    command = [
        "tor-gencert",
        "--create-identity-key",
        "--passphrase-fd",
        "0",
        "-m",
        "12",
        "-a",
        f"127.0.0.1:{directory}",
    ]
    names = ("identity_key", "signing_key", "certificate")
    files = [
        word for flag, name in zip("isc", names, strict=True) for word in (f"-{flag}", str(keys / f"authority_{name}"))
    ]
    subprocess.run([*command, *files], input=b"none\n", capture_output=True, check=True, timeout=60)
    lines = (keys / "authority_certificate").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("fingerprint "))
