"""Real agents for tests that ask from outside: an event loop in a thread, agents and their web servers on it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.mesh.events import Recall
from peerscope.mesh.messages import Aged
from peerscope.records.bodies import Profile
from peerscope.records.identity import Identity
from peerscope.records.record import sign
from peerscope.web.listener import WebServer


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


T = TypeVar("T")
HAS_IPV6 = _has_ipv6()
"""Containers often have none, not even on loopback."""
SETTLE_S = 0.05
PATIENCE_S = 90.0
"""Only ends a test that would never pass."""
# A busy or full test machine is no sick one.
CALM = {"cpu": {"degraded": 1, "unhealthy": 1}, "memory": {"degraded": 1, "unhealthy": 1}}
CALM |= {"storage": {"degraded": 1, "unhealthy": 1}, "network": {"degraded": 1, "unhealthy": 1}}


class Loop:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """The result of a plain function, called where it meets nobody half-way."""

        async def calling() -> T:
            return function(*arguments, **options)

        return self.run(calling())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.run_until_complete(asyncio.sleep(SETTLE_S))  # connections that were closed give up their sockets
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Agent:
    """A running agent with its web server."""

    def __init__(self, loop: Loop, monitor: Monitor) -> None:
        assert monitor.http is not None
        self.loop = loop
        self.monitor = monitor
        self.http = monitor.http
        self.peer_id = monitor.peer.me.hex()

    @property
    def is_measured(self) -> bool:
        """It has reported on itself."""
        return self.loop.call(lambda: self.monitor.peer.ledger.report(self.monitor.peer.me)) is not None


def client(agent: Agent) -> httpx.Client:
    """Asks an agent, over a new connection each time."""
    fresh = httpx.Limits(max_keepalive_connections=0)
    # `verify` would load every certificate of the system, for a server that has none.
    return httpx.Client(base_url=agent.http, trust_env=False, verify=False, timeout=PATIENCE_S, limits=fresh)


def settings(**sections: dict[str, Any]) -> Config:
    """Settings of a peer on loopback, with a dashboard on any free port; further ones by section."""
    options = {"web": {"listen": "127.0.0.1:0"}, "health": CALM}
    merged = {name: {**options.get(name, {}), **sections.get(name, {})} for name in options | sections}
    return Config.load(environment={}, options=merged)


@contextlib.contextmanager
def running(state: Path, **sections: dict[str, Any]) -> Iterator[Agent]:
    """An agent that has measured itself; stopped on the way out."""
    loop = Loop()
    try:
        monitor = Monitor(settings(**sections), state)

        async def start() -> "asyncio.Task[None]":
            server = WebServer(monitor)
            await monitor.start()
            return asyncio.create_task(server.run())

        async def stop() -> None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await monitor.stop()

        serving = loop.run(start())
        try:
            agent = Agent(loop, monitor)
            until(lambda: agent.is_measured, "the agent has measured itself")
            yield agent
        finally:
            loop.run(stop())
    finally:
        loop.close()


def until(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.01)


async def came_true(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds, in the loop that makes it so."""
    end = time.monotonic() + PATIENCE_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        await asyncio.sleep(0.01)


def introduce(agent: Agent, seed: int, *, left: bool = False) -> str:
    """Another peer becomes known to an agent by what it signed; its full id. `left`: it has said goodbye."""
    identity, wall_ms = Identity(bytes((seed,)) * 32), round(time.time() * 1000)
    profile = Profile(("192.0.2.1:4600",), "eu-west", "1.0", wall_ms, left)
    record = sign(identity, profile, version=wall_ms, wall_ms=wall_ms)
    agent.loop.call(agent.monitor._driver.feed, Recall((Aged(record, 0),)))
    known = identity.peer_id
    until(lambda: agent.loop.call(lambda: known in agent.monitor.snapshot().profiles), "the peer is known")
    return known.hex()
