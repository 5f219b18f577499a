"""The verb that runs the core on a virtual network: simulate."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from peerscope.cli.options import JSON, Decimal, Whole
from peerscope.cli.text import columns
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.sim.outcome import Outcome, Times
from peerscope.sim.run import run
from peerscope.sim.scenario import Scenario, ScenarioStep, load, shipped


@click.command()
@click.argument("scenario", required=False)
@click.option("--list", "list_them", is_flag=True, help="List the scenarios.")
@click.option("--peers", type=Whole(2, 20_000), help="Number of peers.")
@click.option("--regions", type=Whole(1, 1_000), help="Number of regions.")
@click.option("--seed", type=Whole(0), default=1, show_default=True, help="Seed of the random numbers.")
@click.option("--loss", type=Decimal(0, 0.9), help="Share of packets lost, each way.")
@click.option("--kill", type=Whole(0), help="Number of peers to kill.")
@click.option("--duration", type=Decimal(1), help="Virtual seconds after settling.")
@click.option("--unsigned", is_flag=True, help="A cheap hash instead of Ed25519: several times faster.")
@click.option("--serve", is_flag=True, help="Show the network on a dashboard until Ctrl-C.")
@click.option(
    "--http",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="With --serve: address of the dashboard.",
)
@click.option(
    "--speed",
    type=Decimal(0.01, 1_000),
    default=1.0,
    show_default=True,
    help="With --serve: virtual seconds per second, if this machine is fast enough.",
)
@JSON
def simulate(
    scenario: str | None,
    list_them: bool,
    seed: int,
    unsigned: bool,
    serve: bool,
    http: str,
    speed: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Run a SCENARIO (or a .toml file) on a virtual network: the same core with a virtual clock.

    Exits with 1 if a bound of the scenario is broken, and prints the command that replays the same run.
    """
    if list_them:
        _list(as_json=as_json)
        return
    chosen = _adapted(load(scenario or ("steady" if given["kill"] is None else "kill")), **given)
    if serve:
        _serve(chosen, seed=seed, signed=not unsigned, http=http, speed=speed, as_json=as_json)
        return
    options = "".join(f" --{name} {value:g}" for name, value in given.items() if value is not None)
    outcome = _run(chosen, seed, signed=not unsigned, options=options + " --unsigned" * unsigned)
    if as_json:
        click.echo(msgspec.json.encode(outcome).decode())
    else:
        _show(outcome, chosen)
    for failure in outcome.failures:
        click.echo(f"peerscope: {failure}", err=True)
    if outcome.failures:
        click.echo(f"peerscope: again with: {outcome.replay}", err=True)
    sys.exit(1 if outcome.failures else 0)


def _adapted(
    scenario: Scenario,
    *,
    peers: int | None,
    regions: int | None,
    loss: float | None,
    kill: int | None,
    duration: float | None,
) -> Scenario:
    """Apply the operator's options to the scenario."""
    if peers is not None:
        scenario = replace(scenario, peers=peers)
    if regions is not None:
        scenario = replace(scenario, regions=regions)
    if loss is not None:
        scenario = replace(scenario, network=replace(scenario.network, loss=loss))
    if duration is not None:
        scenario = replace(scenario, duration_s=duration)
    if kill is not None:
        if kill >= scenario.peers:
            raise ConfigError(f"--kill {kill} of {scenario.peers} peers leaves no peer to detect it")
        others = tuple(step for step in scenario.steps if step.do != "crash")
        at_s = next((step.at_s for step in scenario.steps if step.do == "crash"), 5.0)
        crash = (ScenarioStep(at_s=at_s, do="crash", count=kill),) if kill else ()
        scenario = replace(scenario, steps=tuple(sorted((*others, *crash), key=lambda step: step.at_s)))
    return scenario


def _run(scenario: Scenario, seed: int, *, signed: bool, options: str) -> Outcome:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(scenario.name, total=None, shown="")

        def update(passed_s: float, total_s: float, phase: str) -> None:
            shown = f"{phase}, {passed_s:.0f} of {total_s:.0f} virtual s"
            progress.update(task, total=total_s, completed=passed_s, shown=shown)

        return run(scenario, seed=seed, signed=signed, options=options, progress=update)


def _list(*, as_json: bool) -> None:
    found = list(shipped())
    if as_json:
        click.echo(msgspec.json.encode([{"name": s.name, "summary": s.summary, "peers": s.peers} for s in found]))
        return
    for scenario in found:
        click.echo(f"{scenario.name:<12} {scenario.summary}")


def _show(outcome: Outcome, scenario: Scenario) -> None:
    table = columns(show_header=False)
    table.add_row("scenario", f"{outcome.scenario}: {scenario.summary}")
    table.add_row("peers, seed", f"{outcome.peers}, {outcome.seed}")
    table.add_row("time", f"{outcome.virtual_s:.0f} virtual s in {outcome.wall_s:.1f} s, {outcome.events} events")
    for level in ("suspect", "down"):
        table.add_row(level, _times(outcome.detection[level]))
    table.add_row("wrong", f"{outcome.false_down} called down, {outcome.false_suspect} suspected by a majority")
    if outcome.down_share_alive is not None:
        shown = f"{outcome.down_share_alive:.1%} of the honest verdicts on a living victim are down"
        hidden = (
            "" if outcome.hidden_s is None else f"; its failure was detected {max(0.0, outcome.hidden_s):.1f} s later"
        )
        table.add_row("liars", shown + hidden)
    agreed = "never" if outcome.convergence_s is None else f"{outcome.convergence_s:.1f} s after the last step"
    table.add_row("all agreed", agreed)
    cost, rate = outcome.bytes_per_peer_s, outcome.messages_per_peer_s
    if cost["mean"] is not None and rate is not None:
        table.add_row("traffic", f"{cost['mean']:.0f} B/s per peer, at most {cost['max']:.0f}; {rate:.1f} messages/s")
    table.add_row("urgent record to all", _times(outcome.time_to_all_s))
    if outcome.zones is not None:
        zones, counts = outcome.zones, outcome.zones.seen
        text = f"{zones.count}, at most {zones.largest} members; {zones.living} peers run, "
        text += f"{counts['least']:.0f} to {counts['most']:.0f} are counted, {zones.error_ratio_max:.1%} off at worst"
        age = "" if zones.age_p99_s is None else f"; summaries {zones.age_p99_s:.0f} s old, p99"
        table.add_row("zones", text + age)
    if outcome.coordinate_error is not None:
        error = outcome.coordinate_error
        table.add_row("estimated round trips", f"off by {error.median:.0%} in the median, {error.p90:.0%} at p90")
    if outcome.redundancy is not None:
        table.add_row("copies above one", f"{outcome.redundancy:.2f} of each announced record")
    if outcome.crawl is not None:
        crawl = outcome.crawl
        text = f"{crawl.found} found, {crawl.missed} missed, {crawl.unreachable} unreachable; {crawl.links} links"
        table.add_row("crawl", f"{crawl.seconds:.2f} s, {crawl.asked} asked: {text}")
    if outcome.threats is not None:
        found, recall = outcome.threats, outcome.threats.recall
        findings = ", ".join(f"{count} {name}" for name, count in found.found.items()) or "nothing"
        missed = "no attack" if recall is None else f"{recall:.0%} of the attacks found"
        table.add_row("threats", f"{missed}, {found.false_alarms} false alarms; {findings}")
    for seen in outcome.incidents or ():
        table.add_row("incident", f"{seen.kind}, {seen.size} peers, {seen.state}, root {(seen.root or 'unknown')[:20]}")
    for true in outcome.truth or ():
        table.add_row("happened", f"{true.kind}, {len(true.peers)} peers, root {(true.root or 'none')[:20]}")
    if outcome.incident_precision is not None or outcome.incident_recall is not None:
        both = (outcome.incident_precision, outcome.incident_recall)
        right, held = ("-" if share is None else f"{share:.0%}" for share in both)
        table.add_row("pairs of alerts", f"{right} of those in one incident share a cause; {held} of such are in one")
    if outcome.root_right is not None:
        agreed = "" if outcome.incidents_agreed else "; survivors disagree on incidents"
        table.add_row("true root", ("found" if outcome.root_right else "not found") + agreed)
    shares = sorted(outcome.bytes_share.items(), key=lambda item: -item[1])
    table.add_row("bytes by message", ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.01))
    table.add_row("history", outcome.digest)
    Console().print(table)


def _times(times: Times) -> str:
    if times.median_s is None:
        return "-"
    missed = f"; {times.missed} missed" if times.missed is not None else ""
    return f"{times.median_s:.2f} s median, {times.p99_s:.2f} s p99, {times.max_s:.2f} s slowest{missed}"


def _serve(scenario: Scenario, *, seed: int, signed: bool, http: str, speed: float, as_json: bool) -> None:
    """Serve the dashboard of one virtual peer until Ctrl-C. Raises `ConfigError`."""
    name = {"name": f"{scenario.name} (simulated)"}
    config = Config.load(environment={}, options={"web": {"listen": http}, "network": name})
    with tempfile.TemporaryDirectory(prefix="peerscope-simulation-", ignore_cleanup_errors=True) as state:
        uvloop.run(_show_live(scenario, config, Path(state), seed=seed, signed=signed, speed=speed, as_json=as_json))


async def _show_live(
    scenario: Scenario, config: Config, state: Path, *, seed: int, signed: bool, speed: float, as_json: bool
) -> None:
    from peerscope.sim.show import Show  # loads the web server
    from peerscope.web.listener import WebServer

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
