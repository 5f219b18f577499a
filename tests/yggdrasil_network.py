"""Real Yggdrasil nodes on loopback for tests: no interface, no multicast, ended whatever happens."""

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

READY_S = 120.0


class YggdrasilNetwork:
    """Some nodes, by number."""

    def __init__(self, folder: Path, keys: list[str], processes: list[subprocess.Popen[bytes]]) -> None:
        self.keys = keys
        self._folder = folder
        self._processes = processes

    def socket(self, number: int) -> str:
        """Path of a node's admin socket."""
        return str(self._folder / f"{number}.sock")

    def stop(self, number: int) -> str:
        """Let a node hang, its connections open (SIGSTOP); its key."""
        self._processes[number].send_signal(signal.SIGSTOP)
        return self.keys[number]

    def kill(self, number: int) -> str:
        """`kill -9` one node, whose neighbours notice by the end of their connections; its key."""
        self._processes[number].kill()
        self._processes[number].wait()
        return self.keys[number]

    def is_linked(self, links: list[tuple[int, int]]) -> bool:
        """Do all nodes have exactly these links, and know their way to all others?"""
        around: dict[int, set[str]] = {number: set() for number in range(len(self.keys))}
        for one, other in links:
            around[one].add(self.keys[other])
            around[other].add(self.keys[one])
        return all(self._peers(number) == expected for number, expected in around.items()) and all(
            "error" not in ask(self.socket(0), "debug_remotegetself", key=key)
            for key in self.keys[1:]  # a node alone does not reach itself
        )

    def spec(self, number: int) -> str:
        """The source that reads a node."""
        return f"yggdrasil:{self.socket(number)}"

    def truth(self, number: int) -> dict[str, Any]:
        """Values of a node by its own answers, by the names of fields and measures."""
        me = ask(self.socket(number), "getself")["response"]
        listed = ask(self.socket(number), "getpeers")["response"]["peers"]
        links = [peer for peer in listed if peer.get("up", True)]
        known = me.get("routing_entries")
        if known is None:
            known = len(ask(self.socket(number), "getdht")["response"]["dht"])
        rtts_us: dict[str, list[int]] = {}
        for peer in links:
            if "latency" in peer:
                rtts_us.setdefault(peer["key"], []).append(round(peer["latency"] / 1000))
        return {
            "node_id": me["key"],
            "active_connections": len(links),
            "p2p_peers": len({peer["key"] for peer in links}),
            "received_bytes": sum(peer.get("bytes_recvd", 0) for peer in links),
            "sent_bytes": sum(peer.get("bytes_sent", 0) for peer in links),
            "dht_nodes": known,
            "dead_links": len(listed) - len(links),
            "rtts_us": rtts_us,
        }

    def _peers(self, number: int) -> set[str]:
        answer = ask(self.socket(number), "getpeers")
        return {peer["key"] for peer in answer.get("response", {}).get("peers", [])} - {""}


@contextlib.contextmanager
def yggdrasil_network(
    program: str, folder: Path, nodes: int, links: list[tuple[int, int]], *, unreachable: str = ""
) -> Iterator[YggdrasilNetwork]:
    """Nodes that have found each other; of each link the first one listens. All dial `unreachable` too."""
    ports = [free_port() for _ in range(nodes)]
    # The smallest key is the root of the spanning tree. Where the root changes while nodes join, they find their way
    # across the network only with the next announcement, a minute later.
    fresh = sorted((generated(program) for _ in range(nodes)), key=public_key)
    processes: list[subprocess.Popen[bytes]] = []
    network = YggdrasilNetwork(folder, [public_key(config) for config in fresh], processes)
    try:
        for number, config in enumerate(fresh):
            config |= {
                "IfName": "none",
                "MulticastInterfaces": [],
                "AdminListen": f"unix://{network.socket(number)}",
                "Listen": [f"tls://127.0.0.1:{ports[number]}"],
                "Peers": [f"tls://127.0.0.1:{ports[one]}" for one, other in links if other == number]
                + [unreachable] * bool(unreachable),
            }
            place = folder / f"{number}.json"
            place.write_text(json.dumps(config))
            log = folder / f"{number}.log"
            with log.open("wb") as output:
                command = [program, "-useconffile", str(place), "-logto", "stdout"]
                processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
            # A node whose first dial fails waits a minute for the next one.
            until(lambda log=log: "listener started" in log.read_text(), f"a node listens; logs in {folder}")
        until(lambda: network.is_linked(links), f"the nodes find each other; logs in {folder}")
        yield network
    finally:
        for process in processes:
            process.kill()
            process.wait()


def generated(program: str) -> dict[str, Any]:
    """Settings with a new key."""
    done = subprocess.run([program, "-genconf", "-json"], capture_output=True, check=True, timeout=30)
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def public_key(config: dict[str, Any]) -> str:
    """The second half of a private key of Ed25519, as Go writes it. Only 0.4 names it as well."""
    return str(config["PrivateKey"])[64:]


def until(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds. The bound is generous: it only ends a test that would never pass."""
    end = time.monotonic() + READY_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.1)


def ask(place: str, request: str, **arguments: str) -> dict[str, Any]:
    """One answer of one node; empty before it is there."""
    data = b""
    try:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10.0)
            admin.connect(place)
            admin.sendall(json.dumps({"request": request, "arguments": arguments}).encode())
            while chunk := admin.recv(65536):
                data += chunk
                with contextlib.suppress(ValueError):
                    answer: dict[str, Any] = json.loads(data)
                    return answer
    except OSError:
        pass
    return {"error": "no answer"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
