"""A real demo network for tests: real processes, ended whatever happens."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

READY_S = 120.0
# A busy test machine is no sick one.
ENVIRONMENT = {"PEERSCOPE_HEALTH__CPU__DEGRADED": "1", "PEERSCOPE_HEALTH__CPU__UNHEALTHY": "1"}
ENVIRONMENT |= {f"PEERSCOPE_ALERTS__RULES__{rule}__ENABLED": "false" for rule in ("CPU_HIGH", "AGENT_LAG", "AGENT_CPU")}


class DemoNetwork:
    """`peerscope demo`, its ready line, and what one can do to its peers."""

    def __init__(self, process: subprocess.Popen[str], peers: list[dict[str, Any]]) -> None:
        self.process = process
        self.peers = peers
        self.restarted: list[subprocess.Popen[str]] = []

    def kill(self, index: int) -> dict[str, Any]:
        """`kill -9` one peer; the peer."""
        peer = self.peers[index]
        os.kill(peer["pid"], signal.SIGKILL)
        return peer

    def restart(self, index: int) -> dict[str, Any]:
        """Start a killed peer again from its state directory; its new ready line."""
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof"]
        process = start([*command, "--state", self.peers[index]["state"]], stdin=subprocess.PIPE)
        self.restarted.append(process)
        ready = json.loads(first_line(process))
        self.peers[index] |= {"pid": ready["pid"], "http": ready["http"]}
        return ready


def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
    """A process of ours with its output as text."""
    environment = os.environ | ENVIRONMENT
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the process ended with {process.wait()} before it was ready"
    return line


@contextlib.contextmanager
def demo_network(state: Path, *, peers: int = 12, http: str = "127.0.0.1:0") -> Iterator[DemoNetwork]:
    """A demo that is ready; ended, with all it started, on the way out."""
    command = [sys.executable, "-m", "peerscope", "demo", "--json", "--peers", str(peers), "--http", http]
    process = start([*command, "--state", str(state)])
    network = DemoNetwork(process, [])
    try:
        network.peers = json.loads(first_line(process))["peers"]
        yield network
    finally:
        for restarted in network.restarted:
            restarted.kill()
            restarted.communicate()
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def get(peer: dict[str, Any], path: str) -> Any:
    """The JSON of one route of one peer."""
    with urllib.request.urlopen(peer["http"] + path, timeout=10) as response:
        return json.load(response)


def post(peer: dict[str, Any], path: str, body: dict[str, Any]) -> Any:
    """Order something at one peer; its answer."""
    headers = {"content-type": "application/json", "x-peerscope": "1"}
    request = urllib.request.Request(peer["http"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def eventually(truth: Callable[[], bool], what: str | Callable[[], str], *, within_s: float) -> None:
    """Wait until something holds. The bound is generous: it only ends a test that would never pass.

    `what`: the sentence of a failure, or makes it of what was seen last.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if truth():
                return
        time.sleep(0.2)
    raise AssertionError(f"not within {within_s:.0f} s: {what if isinstance(what, str) else what()}")


def free_address() -> str:
    """An address nobody listens on now, for a server that must come back to the same one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def processes_under(state: Path) -> list[str]:
    """Command lines of running processes that name this state directory."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(state) in command and "peerscope" in command:
                found.append(command)
    return found
