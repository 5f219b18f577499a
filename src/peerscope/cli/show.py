"""The half of `simulate` that shows a virtual network on the dashboard instead of judging it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

import click
import msgspec
import uvloop

from peerscope.config import Config
from peerscope.sim.scenario import Scenario


def show(scenario: Scenario, *, seed: int, signed: bool, http: str, speed: float, as_json: bool) -> None:
    """Serve the page of one virtual peer until Ctrl-C. Raises `ConfigError`."""
    name = {"name": f"{scenario.name} (simulated)"}
    config = Config.load(environment={}, options={"web": {"listen": http}, "network": name})
    with tempfile.TemporaryDirectory(prefix="peerscope-simulation-", ignore_cleanup_errors=True) as state:
        uvloop.run(_serve(scenario, config, Path(state), seed=seed, signed=signed, speed=speed, as_json=as_json))


async def _serve(
    scenario: Scenario, config: Config, state: Path, *, seed: int, signed: bool, speed: float, as_json: bool
) -> None:
    from peerscope.sim.show import Show  # loads the web server: not for every run
    from peerscope.web.app import WebServer

    network = Show(scenario, config, state, seed=seed, signed=signed, speed=speed)
    server = WebServer(network)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if as_json:
        ready = {"event": "ready", "peer_id": network.peer.me.hex(), "http": network.http, "peers": scenario.peers}
        click.echo(msgspec.json.encode({**ready, "scenario": scenario.name, "seed": seed, "speed": speed}).decode())
    else:
        click.echo(f"simulated  {scenario.name}: {scenario.summary}")
        click.echo(f"           {scenario.peers} virtual peers, seed {seed}, {speed:g} virtual seconds a second")
        click.echo(f"dashboard  {network.http}")
        click.echo("end        Ctrl-C")
    work = [asyncio.create_task(job) for job in (network.run(), server.run(), stopping.wait())]
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
