"""A real etcd cluster on loopback for tests: ended whatever happens."""

import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from yggdrasil_network import free_port

READY_S = 60.0


class EtcdNetwork:
    """Some members, by number."""

    def __init__(self, program: str, folder: Path, nodes: int) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._clients = [free_port() for _ in range(nodes)]
        self._peers = [free_port() for _ in range(nodes)]
        self._program = program

    def url(self, number: int) -> str:
        """Where clients reach a member."""
        return f"http://127.0.0.1:{self._clients[number]}"

    def spec(self, number: int) -> str:
        """The source of a member."""
        return f"etcd:{self.url(number)}"

    def start(self, number: int) -> None:
        """Start a member, or start it again."""
        peers = [f"http://127.0.0.1:{port}" for port in self._peers]
        command = [self._program, "--name", f"n{number}", "--data-dir", str(self._folder / f"data-{number}")]
        command += ["--listen-client-urls", self.url(number), "--advertise-client-urls", self.url(number)]
        command += ["--listen-peer-urls", peers[number], "--initial-advertise-peer-urls", peers[number]]
        command += ["--initial-cluster", ",".join(f"n{one}={peer}" for one, peer in enumerate(peers))]
        with (self._folder / f"{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def kill(self, number: int) -> None:
        """As a crash would."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def freeze(self, number: int, *, again: bool = False) -> None:
        """Let a member hang with its connections open, or go on again."""
        self._processes[number].send_signal(signal.SIGCONT if again else signal.SIGSTOP)

    def ask(self, number: int, path: str) -> Any:
        """One answer of the JSON gateway."""
        request = urllib.request.Request(self.url(number) + path, b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def page(self, number: int) -> str:
        """The metrics of a member."""
        with urllib.request.urlopen(self.url(number) + "/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def truth(self, number: int) -> dict[str, object]:
        """Values by etcd's own answers, keyed by field or measure."""
        status, listed = self.ask(number, "/v3/maintenance/status"), self.ask(number, "/v3/cluster/member/list")
        lines = self.page(number).split("\n")
        up = [line for line in lines if line.startswith("etcd_network_active_peers{") and line.endswith(" 1")]
        return {
            "node_id": f"{int(status['header']['member_id']):x}",
            "version": status["version"],
            "p2p_peers": len(up),
            "members_alive": len(up) + 1,
            "members_failed": len(listed["members"]) - len(up) - 1,
            "has_leader": int("leader" in status),
            "leader_changes": _value(lines, "etcd_server_leader_changes_seen_total"),
            "sent_bytes": _total(lines, "etcd_network_peer_sent_bytes_total{"),
            "received_bytes": _total(lines, "etcd_network_peer_received_bytes_total{"),
        }

    def is_whole(self) -> bool:
        """All members have a leader and know each other's connection."""
        try:
            return all(self.truth(one)["p2p_peers"] == len(self._clients) - 1 for one in self._processes)
        except (OSError, ValueError, KeyError):
            return False


@contextlib.contextmanager
def etcd_network(program: str, folder: Path, nodes: int = 3) -> Iterator[EtcdNetwork]:
    """Members that have found each other."""
    network = EtcdNetwork(program, folder, nodes)
    try:
        for number in range(nodes):
            network.start(number)
        until(network.is_whole, f"the members find each other; logs in {folder}")
        yield network
    finally:
        for number in list(network._processes):
            network.kill(number)


def until(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds. The bound is generous: it only ends a test that would never pass."""
    end = time.monotonic() + READY_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.1)


def _value(lines: list[str], name: str) -> int:
    return next(int(float(line.split()[-1])) for line in lines if line.startswith(f"{name} "))


def _total(lines: list[str], beginning: str) -> int:
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(beginning))
