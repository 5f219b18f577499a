"""Real Serf agents on loopback for tests; only these are ended."""

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from yggdrasil_network import free_port

READY_S = 60.0
KEY = "correct horse"


class SerfNetwork:
    """Some agents, by number; their names are "n0", "n1" and so on."""

    def __init__(self, program: str, folder: Path, nodes: int) -> None:
        self._program, self._folder = program, folder
        self._binds = [free_port() for _ in range(nodes)]
        self._ports = [free_port() for _ in range(nodes)]
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "serf.json").write_text(json.dumps({"rpc_auth": KEY}))
        self.key_file = folder / "serf-key"
        self.key_file.write_text(KEY)

    def rpc(self, number: int) -> str:
        """Address of a node's RPC."""
        return f"127.0.0.1:{self._ports[number]}"

    def spec(self, number: int) -> str:
        """The source of a node."""
        return f"serf:{self.rpc(number)}#token_file={self.key_file}"

    def ask(self, number: int, *words: str) -> str:
        """The output of Serf's own tool."""
        command = [self._program, words[0], f"-rpc-addr={self.rpc(number)}", f"-rpc-auth={KEY}", *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout

    def truth(self, number: int) -> dict[str, object]:
        """Values of a node, by Serf's own tool."""
        states = {line.split()[0]: line.split()[2] for line in self.ask(number, "members").splitlines()}
        alive = {name for name, state in states.items() if state == "alive"}
        return {
            "node_id": f"n{number}",
            "overlay": alive - {f"n{number}"},
            "members_alive": len(alive),
            "members_failed": list(states.values()).count("failed"),
        }

    def rtt_us(self, number: int, other: int) -> float:
        """The round trip that Serf's own tool estimates."""
        found = re.search(r"rtt: ([0-9.]+) ms", self.ask(number, "rtt", f"n{number}", f"n{other}"))
        return float(found[1]) * 1e3 if found else -1.0

    def start(self, number: int) -> None:
        """Start an agent; all but the first one join it."""
        command = [self._program, "agent", f"-node=n{number}", f"-bind=127.0.0.1:{self._binds[number]}"]
        command += [f"-rpc-addr={self.rpc(number)}", f"-config-file={self._folder / 'serf.json'}", "-profile=local"]
        command += [f"-retry-join=127.0.0.1:{self._binds[0]}", "-retry-interval=1s"] if number else []
        with (self._folder / f"serf-{number}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    def stop(self, number: int) -> None:
        """Let an agent hang (SIGSTOP)."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def kill(self, number: int) -> None:
        """`kill -9` one agent."""
        self._processes[number].kill()
        self._processes[number].wait()

    def close(self) -> None:
        """End all."""
        for number in range(len(self._processes)):
            self.kill(number)


@contextlib.contextmanager
def serf_network(program: str, folder: Path, nodes: int) -> Iterator[SerfNetwork]:
    """Agents that all know each other."""
    network = SerfNetwork(program, folder, nodes)
    try:
        for number in range(nodes):
            network.start(number)
        for number in range(nodes):
            until(lambda number=number: network.truth(number)["members_alive"] == nodes, f"all meet; logs in {folder}")
        yield network
    finally:
        network.close()


def until(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + READY_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.2)
