"""A virtual network in which peers died, behind a real web server: what it shows is looked at again and again."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec.structs import replace

from live import Loop
from peerscope.config import Config
from peerscope.records.identity import PeerId
from peerscope.sim.scenario import load
from peerscope.sim.show import Show
from peerscope.web.api import ROUTES
from peerscope.web.content import FeedBuilder, snapshot
from peerscope.web.listener import WebServer

STEP_S = 0.25
GONE = ("down", "partitioned", "left")
Path_ = tuple[str | int, ...]


class Mourning:
    """A network whose time passes only when somebody lets it."""

    def __init__(self, loop: Loop, network: Show) -> None:
        self.loop, self.network = loop, network
        assert network.http is not None
        self.http = network.http
        self._builder = FeedBuilder(network)

    @property
    def now(self) -> float:
        return self.network.clock()[0]

    def until(self, virtual_s: float) -> None:
        """Let virtual time pass."""
        while self.now < virtual_s:
            self.loop.call(self.network.advance, min(virtual_s, self.now + STEP_S))

    def until_gone(self, peers: Sequence[PeerId]) -> None:
        """Stop at the first look at which all these peers are called gone."""
        for _ in range(400):
            snapshot = self.network.snapshot()
            if all(snapshot.verdict(peer).value in GONE for peer in peers):
                return
            self.until(self.now + STEP_S)
        raise AssertionError("somebody who died is never called down")

    def get(self, path: str) -> Any:
        """The answer of one route."""
        with httpx.Client(base_url=self.http, trust_env=False, verify=False) as client:
            answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def feed(self) -> dict[str, Any]:
        """What a page that comes now gets."""
        found: dict[str, Any] = json.loads(msgspec.json.encode(self.loop.call(lambda: snapshot(self._builder.build()))))
        return found

    def look(self, dead: Sequence[PeerId]) -> dict[str, Any]:
        """The answers of every route that is read, of routes about one peer for each of the dead; and the feed."""
        found: dict[str, Any] = {"feed": self.feed()}
        for path in (route.path for route in ROUTES if route.answers and route.method == "GET"):
            for asked in self._spelled(path, [peer.hex() for peer in dead]):
                found[asked] = self.get(asked)
        return found

    def _spelled(self, path: str, dead: list[str]) -> list[str]:
        match path.removeprefix("/api/v1/"):
            case "alerts" | "incidents":
                return [f"{path}?all=1"]
            case "routes":
                return [f"{path}?by=peer", f"{path}?by=region"]
            case "rtt":
                return [f"{path}?target={peer}" for peer in dead]
            case "history":
                return [f"{path}?peer={peer}&metric={name}" for peer in dead for name in ("cpu_ratio", "link_rtt_s")]
            case "alerts/{name}" | "incidents/{name}":
                kind = path.removesuffix("/{name}")
                return [f"{kind}/{one['id']}" for one in self.get(f"{kind}?all=1")]
        if "{name}" in path:  # nobody silences anything here
            return []
        return [path.replace("{id}", peer) for peer in dead] if "{id}" in path else [path]


@contextlib.contextmanager
def mourning(state: Path, *, peers: int = 9) -> Iterator[Mourning]:
    """A network of three regions in which everybody is everybody's neighbour."""
    loop = Loop()
    try:
        scenario = replace(load("steady"), peers=peers, regions=3, settle_s=10.0, steps=())
        config = Config.load(environment={}, options={"web": {"listen": "127.0.0.1:0"}})

        async def start() -> tuple[Show, "asyncio.Task[None]"]:
            network = Show(scenario, config, state, seed=5, signed=False)
            return network, asyncio.create_task(WebServer(network).run())

        async def stop() -> None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        network, serving = loop.run(start())
        try:
            yield Mourning(loop, network)
        finally:
            loop.run(stop())
    finally:
        loop.close()


def leaves(value: Any, path: Path_ = (), about: tuple[str, ...] = ()) -> Iterator[tuple[Path_, Any, tuple[str, ...]]]:
    """Every number, text and null of an answer: where it stands, what it is, and the names it is filed under."""
    if isinstance(value, dict):
        own = (str(value[name]) for name in ("peer_id", "source", "target", "route") if value.get(name) is not None)
        within = (*about, *own)
        for key, inner in value.items():
            yield from leaves(inner, (*path, key), (*within, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            names = (inner.get(name) for name in ("peer_id", "id", "route", "at")) if isinstance(inner, dict) else ()
            key = next((name for name in names if name is not None), place)
            yield from leaves(inner, (*path, key), about)
    else:
        yield path, value, about
