"""A virtual network behind the web app: every route answers as a real agent's would, or says why it cannot."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from feeds import FeedClient
from peerscope.config import Config
from peerscope.sim.scenario import Scenario, ScenarioStep, load
from peerscope.sim.show import Show
from peerscope.web.api import ROUTES
from peerscope.web.app import make_app
from peerscope.web.content import FeedBuilder, delta, snapshot
from peerscope.web.feed import Feed

pytestmark = pytest.mark.sim
PEERS = 12
TELEMETRY = "/api/v1/telemetry"
UNREAL = {TELEMETRY, "/api/v1/leave", *(route.path for route in ROUTES if "{name}" in route.path)}
"""What a calm network of no real peers has not: nodes, alerts, incidents."""


def show(state: Path, *, steps: tuple[ScenarioStep, ...] = (), speed: float = 60.0) -> Show:
    scenario: Scenario = replace(load("steady"), peers=PEERS, regions=3, settle_s=10.0, steps=steps)
    return Show(scenario, Config(), state, seed=5, speed=speed, signed=False)


def pass_until(network: Show, virtual_s: float) -> None:
    """Let virtual time pass at once, as `run` does at its pace."""

    async def passing() -> None:
        while network.clock()[0] < virtual_s:
            network.advance(network.clock()[0] + 0.25)

    asyncio.run(passing())


def ask(network: Show, asking: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        app = make_app(network, Feed(network))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asking(client)

    return asyncio.run(run())


def test_every_route_answers_or_says_that_a_simulation_has_no_such_thing(tmp_path: Path) -> None:
    network = show(tmp_path)
    pass_until(network, 25.0)
    me = network.peer.me.hex()

    async def asking(client: httpx.AsyncClient) -> dict[str, int]:
        paths = [route.path.replace("{id}", me) for route in ROUTES if route.answers and route.path not in UNREAL]
        return {path: (await client.get(path)).status_code for path in paths}

    answers = ask(network, asking)
    assert set(answers.values()) == {200}, answers

    async def telling(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(TELEMETRY, content=b'{"type":"gauge","name":"tunnels","value":1}')

    async def ordering(client: httpx.AsyncClient) -> httpx.Response:
        order = {"matchers": ["rule=peer-down"], "for_s": 60, "reason": "x"}
        return await client.post("/api/v1/silences", json=order, headers={"x-peerscope": "1"})

    for change in (telling, ordering):
        refused = ask(network, change)
        assert refused.status_code == 404
        assert "simulated" in refused.json()["detail"]


def test_it_tells_what_is_simulated_and_what_comes_next(tmp_path: Path) -> None:
    network = show(tmp_path, steps=(ScenarioStep(at_s=5.0, do="crash", count=2),))
    pass_until(network, 12.0)
    view = network.self_view().simulation
    assert view is not None
    assert (view.scenario, view.seed, view.speed) == ("steady", 5, 60.0)
    assert (view.next_step, view.next_step_s) == ("crash 2 peers", 15.0)
    pass_until(network, 16.0)
    assert network.simulation.next_step is None
    assert network.self_view().ticket == ""


def test_everybody_is_seen_and_a_killed_peer_is_called_down(tmp_path: Path) -> None:
    network = show(tmp_path, steps=(ScenarioStep(at_s=5.0, do="crash"),))
    pass_until(network, 14.0)
    assert network.network_health().total_peers == PEERS
    pass_until(network, 30.0)
    assert network.network_health().down_peers == 1


def test_when_the_peer_it_looks_through_crashes_another_takes_its_place(tmp_path: Path) -> None:
    network = show(tmp_path)
    pass_until(network, 15.0)
    first = network.peer.me
    network.simulator.crash(first)
    pass_until(network, 16.0)
    assert network.peer.me != first
    pass_until(network, 30.0)
    assert [view.peer_id for view in network.peers() if view.verdict == "down"] == [first.hex()]
    assert network.traffic.throughput().mesh.bytes_in > 0


def test_virtual_time_follows_the_clock_at_the_wanted_speed(tmp_path: Path) -> None:
    network = show(tmp_path, speed=30.0)

    async def run() -> None:
        task = asyncio.create_task(network.run())
        while network.clock()[0] < 12.0:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert network.clock()[0] < 12.0 + 30.0 * 5  # it did not run away


def test_deltas_laid_upon_a_snapshot_give_the_next_snapshot(tmp_path: Path) -> None:
    network = show(
        tmp_path,
        steps=(
            ScenarioStep(at_s=2.0, do="crash"),
            ScenarioStep(at_s=6.0, do="leave"),
            ScenarioStep(at_s=9.0, do="restart"),
        ),
    )
    pass_until(network, 10.0)
    builder = FeedBuilder(network)
    state = builder.build()
    page = FeedClient()
    page.take(_plain("snapshot", 0, snapshot(state)))
    for seq in range(1, 35):
        pass_until(network, 10.0 + seq)
        before, state = state, builder.build()
        page.take(_plain("changes", seq, delta(before, state)))
        whole = FeedClient()
        whole.take(_plain("snapshot", seq, snapshot(state)))
        assert (page.tables, page.facts) == (whole.tables, whole.facts)


def _plain(kind: str, seq: int, data: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(msgspec.json.encode({"type": kind, "seq": seq, "data": data}))
    return message
