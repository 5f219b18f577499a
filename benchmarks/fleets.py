"""Many agents of one program as processes: start them, read them, harm them, end them.

One thread and one selector read everything, so that no agent ever waits for a reader and we cost the machine little.
Whatever happens to this process, its agents end with it.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import ClassVar

from checkouts import HERE, without_detection
from namespaces import Network
from sightings import Sighting, delays, from_peerscope, from_serf

SOURCE = Path(__file__).parents[1] / "src" / "peerscope"
START_AT_ONCE = 4
READY_TIMEOUT_S = 60.0
EVENT_TIMEOUT_S = 30.0
POLL_S = 0.1
"""Between looks at a condition; sightings carry their own times, so this costs no precision."""
WORDS = 3
"""Last lines kept of each agent, to tell why it ended."""


class Trouble(Exception):
    """The measurement cannot go on."""


class Agent:
    """One process, and what it has said so far."""

    def __init__(self, index: int, process: subprocess.Popen[bytes]) -> None:
        self.index = index
        self.process = process
        self.name = ""
        """What other agents call it; known once it is ready."""
        self.http = ""
        """URL of its API; empty where it has none."""
        self.sees: set[str] = set()
        """Names of those it holds to be alive, itself included."""
        self.last_words: deque[str] = deque(maxlen=WORDS)
        self.rest = b""


class Fleet(ABC):
    """`count` places for agents of one program; `running` are those in which one runs."""

    program: ClassVar[str]
    levels: ClassVar[dict[str, set[str]]]
    """How surely others know that a peer is missing: name of the figure, sightings that count."""
    alarms: ClassVar[dict[str, set[str]]]
    """What is false of a living peer."""

    def __init__(self, count: int, network: Network | None, place: Path) -> None:
        """`network`: namespaces to run in, one each; None: all on loopback. `place`: an empty directory."""
        self.count = count
        self.network = network
        self.place = place
        self.environment: dict[str, str] = {}
        self.log: list[Sighting] = []
        self.running: dict[int, Agent] = {}
        self._selector = selectors.DefaultSelector()
        self._addresses = [(network.address(i), 4600) if network else ("127.0.0.1", free_port()) for i in range(count)]

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all: what they would say in leaving is of no interest here."""
        for agent in self.running.values():
            agent.process.kill()
        for index in list(self.running):
            self._bury(index)
        self._selector.close()

    @abstractmethod
    def command(self, index: int) -> list[str]:
        """What runs agent `index`; all but the first join by way of the first."""

    @abstractmethod
    def take(self, agent: Agent, line: str, at: float) -> Sighting | None:
        """Understand one line; sets `agent.name` when the agent is ready."""

    @abstractmethod
    def tell_all(self, origin: int) -> tuple[dict[int, float], int]:
        """Have `origin` send one urgent record: seconds by receiver, and how many should have got it."""

    # -- reading ---------------------------------------------------------------------------------

    def pump(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Read for so long, or until the condition holds; True if it came to hold."""
        end = time.monotonic() + seconds
        look_at = 0.0
        while (now := time.monotonic()) < end:
            if until is not None and now >= look_at:
                if until():
                    return True
                look_at = time.monotonic() + POLL_S
            for key, _ in self._selector.select(min(POLL_S, end - now)):
                self._read(key.data)
        return until is not None and until()

    def pump_until_told(self, mark: int, subject: str, kinds: set[str], observers: int, timeout_s: float) -> None:
        """Read until so many have seen the subject in such a way since the log was `mark` long, or give up."""
        self.pump(timeout_s, lambda: len(delays(self.log[mark:], 0.0, subject, kinds)) >= observers)

    def _read(self, agent: Agent) -> None:
        assert agent.process.stdout is not None
        data = os.read(agent.process.stdout.fileno(), 65536)
        at = time.time()
        *lines, agent.rest = (agent.rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            agent.last_words.append(text)
            if (sighting := self.take(agent, text, at)) is None:
                continue
            self.log.append(sighting)
            if sighting.what == "alive":
                agent.sees.add(sighting.subject)
            elif sighting.what in ("down", "partitioned", "left", "gone"):
                agent.sees.discard(sighting.subject)
        if not data:
            self._bury(agent.index)
            words = " | ".join(agent.last_words)
            raise Trouble(f"agent {agent.index} ended by itself ({agent.process.returncode}): {words}")

    # -- starting and ending ---------------------------------------------------------------------

    def start(self, indices: Iterable[int], at_once: int = START_AT_ONCE) -> None:
        """Start these, so many at a time, and wait until each is ready."""
        waiting = list(indices)
        if 0 in waiting:  # the others join by way of the first
            waiting.remove(0)
            self._start_batch([0])
        for at in range(0, len(waiting), at_once):
            self._start_batch(waiting[at : at + at_once])

    def _start_batch(self, batch: list[int]) -> None:
        for index in batch:
            self._spawn(index)
        agents = [self.running[index] for index in batch]
        if not self.pump(READY_TIMEOUT_S + len(batch), lambda: all(agent.name for agent in agents)):
            raise Trouble(f"agents {[agent.index for agent in agents if not agent.name]} are not ready in time")

    def _spawn(self, index: int) -> None:
        where = self.network.inside(index) if self.network else contextlib.nullcontext()
        known = {key: value for key, value in os.environ.items() if not key.startswith("PEERSCOPE_")}
        build = Path(self.environment["PYTHONPATH"]).parent if "PYTHONPATH" in self.environment else HERE
        with where:
            process = subprocess.Popen(
                self.command(index),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches this process alone
                env=known | without_detection(build) | self.environment,
            )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        agent = self.running[index] = Agent(index, process)
        self._selector.register(process.stdout, selectors.EVENT_READ, agent)

    def kill(self, index: int, number: int = signal.SIGKILL) -> tuple[str, float]:
        """End one by signal: its name, and when. What it still says is not read."""
        agent = self.running[index]
        assert agent.process.stdout is not None
        self._selector.unregister(agent.process.stdout)
        at = time.time()
        agent.process.send_signal(number)
        if number == signal.SIGKILL:
            self._bury(index)
        return agent.name, at

    def _bury(self, index: int) -> None:
        """Wait for the end of one that was told to, and kill it if it does not."""
        agent = self.running.pop(index)
        streams = [stream for stream in (agent.process.stdout, agent.process.stdin) if stream is not None]
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(streams[0])
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.close()
        try:
            agent.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            agent.process.kill()
            agent.process.wait()

    def is_complete(self) -> bool:
        """All run and each sees all."""
        names = {agent.name for agent in self.running.values()}
        return len(names) == self.count and all(names <= agent.sees for agent in self.running.values())

    def mend(self, timeout_s: float) -> None:
        """Start again what does not run, and wait until all see all."""
        self.start([i for i in range(self.count) if i not in self.running])
        if not self.pump(timeout_s, self.is_complete):
            names = {agent.name for agent in self.running.values()}
            lacking = {agent.index: len(names - agent.sees) for agent in self.running.values() if names - agent.sees}
            raise Trouble(f"not all see all after {timeout_s:.0f} s; lacking by agent: {lacking}")


class Peerscope(Fleet):
    """Our agents."""

    program: ClassVar = "peerscope"
    levels: ClassVar = {"majority_s": {"majority", "down", "partitioned"}, "down_s": {"down", "partitioned"}}
    alarms: ClassVar = {"majority": {"majority", "down", "partitioned"}, "down": {"down", "partitioned"}}

    def __init__(self, count: int, network: Network | None, place: Path) -> None:
        super().__init__(count, network, place)
        self._ticket = ""
        self.reporting: Collection[int] = ()
        """Agents with an HTTP server, whose messages can be read."""
        byte_compile(SOURCE)
        self.environment = {
            "PEERSCOPE_NETWORK__SECRET": secrets.token_hex(16),
            "PEERSCOPE_HEALTH__CPU__DEGRADED": "1",  # a busy machine is no sick one
            "PEERSCOPE_HEALTH__CPU__UNHEALTHY": "1",
        }

    def command(self, index: int) -> list[str]:
        host, port = self._addresses[index]
        join = ["--join", self._ticket] if index else []
        http = f"127.0.0.1:{8080 if self.network else free_port()}" if index in self.reporting else "off"
        state = ["--state", str(self.place / f"peer-{index}"), "--http", http, "--until-eof", "--json"]
        return [sys.executable, "-m", "peerscope", "run", "--listen", f"{host}:{port}", *state, *join]

    def take(self, agent: Agent, line: str, at: float) -> Sighting | None:
        if not agent.name and line.startswith('{"event":"ready"'):
            ready = json.loads(line)
            agent.name, agent.http = ready["peer_id"], ready["http"] or ""
            agent.sees.add(agent.name)
            if agent.index == 0:
                self._ticket = ready["ticket"]
            return None
        return from_peerscope(line, agent.index)

    def tell_all(self, origin: int) -> tuple[dict[int, float], int]:
        """A goodbye, counted from the signal on."""
        name, at = self.kill(origin, signal.SIGTERM)
        mark, others = len(self.log), self.count - 1
        self.pump_until_told(mark, name, {"left"}, others, EVENT_TIMEOUT_S)
        self._bury(origin)
        return delays(self.log[mark:], at, name, {"left"}), others


class Serf(Fleet):
    """Serf's agents, with its profile for local networks."""

    program: ClassVar = "serf"
    levels: ClassVar = {"down_s": {"down"}, "delivered_s": {"delivered"}}
    alarms: ClassVar = {"down": {"down"}}

    def __init__(self, count: int, network: Network | None, place: Path) -> None:
        super().__init__(count, network, place)
        self._control = [f"127.0.0.1:{7373 if network else free_port()}" for _ in range(count)]
        self._events = 0

    def command(self, index: int) -> list[str]:
        bind = [f"{host}:{port}" for host, port in self._addresses]
        with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # else only a clean end ends it
        join = ["-retry-join", bind[0], "-retry-interval", "1s"] if index else []
        names = ["-node", f"p{index}", "-bind", bind[index], "-rpc-addr", self._control[index]]
        return [*with_us, "serf", "agent", "-profile", "lan", *names, *join]

    def take(self, agent: Agent, line: str, at: float) -> Sighting | None:
        if not agent.name and "agent: Serf agent starting" in line:
            agent.name = f"p{agent.index}"
            agent.sees.add(agent.name)
        return from_serf(line, agent.index, at)

    def tell_all(self, origin: int) -> tuple[dict[int, float], int]:
        """A user event, counted from when its origin's log has it: the start of `serf event` is not the network's."""
        self._events += 1
        name, mark, others = f"news-{self._events}", len(self.log), self.count - 1
        command = ["serf", "event", "-coalesce=false", "-rpc-addr", self._control[origin], name]
        with self.network.inside(origin) if self.network else contextlib.nullcontext():
            sender = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pump_until_told(mark, name, {"event"}, others + 1, EVENT_TIMEOUT_S)
        sender.wait(timeout=EVENT_TIMEOUT_S)
        found = delays(self.log[mark:], 0.0, name, {"event"})
        if origin not in found:
            raise Trouble(f"agent {origin} did not send its user event")
        at = found.pop(origin)
        return {observer: seen_at - at for observer, seen_at in found.items()}, others


def byte_compile(source: Path) -> None:
    """Compile a package once. Where Python may not write byte code (PYTHONDONTWRITEBYTECODE), each agent would compile
    it at its start, and take twice the CPU."""
    compileall.compile_dir(source, quiet=2)


_ports: set[int] = set()
"""Those that `free_port` gave away."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP, below those that the kernel gives to other sockets.

    No port twice: its socket is closed before an agent opens its own.
    """
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            port = 10_000 + secrets.randbelow(20_000)
            if port in _ports:
                continue
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
                _ports.add(port)
                return port
