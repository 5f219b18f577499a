"""Verbs about the network as a whole: regions, zones, latency, rtt, routes, throughput."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from peerscope.cli.api import api_options, ask, ask_all
from peerscope.cli.text import REGION_SOURCES, SHORT_HEX, STYLES, columns, milliseconds, percent, sparkline
from peerscope.records.alerts import Severity

STYLES_OF_REGIONS = {**STYLES, "critical": "bold red"}
COLUMNS_MAX = 8
"""Regions that fit in one table; more are listed pair by pair."""


@click.command()
@api_options
def regions(api: str, token: str, as_json: bool) -> None:
    """The health of every region. A name with ~ is a guess from latency."""
    found = ask_all(api, token, "/api/v1/regions")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = columns("region", "status", "healthy", "connectivity", "rtt", "reaches", "")
    for one in found:
        table.add_row(
            Text(one["region"]),
            Text(one["status"], STYLES_OF_REGIONS.get(one["status"], "")),
            f"{one['healthy_peers']} of {one['total_peers']}",
            percent(one["connectivity"]),
            milliseconds(one["rtt_s"]),
            f"{one['reached_regions']} of {one['other_regions']}",
            Text(REGION_SOURCES.get(one["source"], ""), "dim"),
        )
    Console().print(table)


@click.command()
@api_options
def latency(api: str, token: str, as_json: bool) -> None:
    """Round-trip times between regions: median / 95th percentile; ~ marks an estimate."""
    found = ask(api, token, "/api/v1/latency")
    if as_json:
        click.echo(json.dumps(found))
        return
    names, pairs = found["regions"], found["pairs"]
    if len(names) > COLUMNS_MAX:
        table = columns("from", "to", "median / p95")
        for pair in pairs:
            table.add_row(Text(pair["source"]), Text(pair["target"]), _spread(pair))
    else:
        table = columns("ms")
        for name in names:
            table.add_column(Text(name))
        cells = {frozenset((pair["source"], pair["target"])): _spread(pair) for pair in pairs}
        for one in names:
            table.add_row(Text(one), *(cells[frozenset((one, other))] for other in names))
    Console().print(table)


@click.command()
@click.argument("a")
@click.argument("b")
@api_options
def rtt(a: str, b: str, api: str, token: str, as_json: bool) -> None:
    """The round-trip time of two peers, measured or estimated; the beginning of an id is enough.

    Exits with 1 if it is unknown.
    """
    found = ask(api, token, "/api/v1/rtt", {"source": a, "target": b})
    if as_json:
        click.echo(json.dumps(found))
    else:
        ends = f"{found['source'][:SHORT_HEX]} - {found['target'][:SHORT_HEX]}"
        click.echo(f"{ends}  {_rtt(found)}")
    sys.exit(1 if found["rtt_s"] is None else 0)


def _rtt(found: dict[str, Any]) -> str:
    if found["rtt_s"] is None:
        return f"unknown: {found['reason']}"
    if found["estimated"]:
        errors = f"{found['source_error_ratio']:.0%} and {found['target_error_ratio']:.0%}"
        return f"~{milliseconds(found['rtt_s'])}, estimated; their coordinates are off by {errors}"
    loss = "" if found["loss_ratio"] is None else f", {found['loss_ratio']:.1%} loss"
    return f"{milliseconds(found['rtt_s'])}, measured{loss}"


def _spread(pair: dict[str, Any]) -> str:
    mark, spread = ("", pair["measured"]) if pair["measured"] else ("~", pair["estimated"])
    if spread is None:
        return "-"
    return f"{mark}{spread['median_s'] * 1000:.1f} / {spread['p95_s'] * 1000:.1f}"


@click.command()
@api_options
def zones(api: str, token: str, as_json: bool) -> None:
    """The zones of a large network: the agent's own in full, the others by the summaries of their aggregators."""
    found = ask(api, token, "/api/v1/zones")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = columns("zone", "peers", "healthy", "down", "latency", "alerts", "summary")
    for one in found:
        latency_s, age_s = one["median_latency_s"], one["age_s"]
        table.add_row(
            Text(one["zone"] or "all"),
            str(one["total_peers"]),
            str(one["healthy_peers"]),
            str(one["down_peers"]),
            "-" if latency_s is None else f"{latency_s * 1000:.0f} ms",
            str(sum(one["alerts"].values())),
            "ours" if one["is_ours"] else f"{age_s:.0f} s old",
        )
    console = Console()
    console.print(table)
    for one in found:
        for line in headlines(one):
            console.print(Text(f"{one['zone']}: {line}"), soft_wrap=True)
    for one in found:
        for peer in one["disagreeing"]:
            click.echo(f"{one['zone']}: the others contradict its aggregator {peer[:SHORT_HEX]}")


def headlines(zone: dict[str, Any]) -> list[str]:
    """The gravest alerts of another zone, one line each."""
    return [f"{Severity(one['severity']).name.lower()}: {one['title']} ({one['id']})" for one in zone["headlines"]]


@click.command()
@click.option(
    "--by", type=click.Choice(["region", "peer"]), default="region", show_default=True, help="Ends of a route."
)
@api_options
def routes(by: str, api: str, token: str, as_json: bool) -> None:
    """Latency of messages over the last hour by route, the most used first.

    LOST counts messages neither forwarded nor delivered. LAST is the time since the last one.
    """
    found = ask_all(api, token, "/api/v1/routes", {"by": by})
    if as_json:
        click.echo(json.dumps(found))
        return
    table = columns()
    table.add_column("route", overflow="fold")
    table.add_column("layer")
    for name in ("p50", "p95", "p99", "delivered", "lost", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in sorted(found, key=lambda one: -one["delivered"] - one["undelivered"]):
        table.add_row(
            Text(one["route"] + (f"  ({', '.join(one['gone'])} gone)" if one.get("gone") else "")),
            one["layer"],
            *(milliseconds(one[quantile]) for quantile in ("p50_s", "p95_s", "p99_s")),
            str(one["delivered"]),
            str(one["undelivered"]),
            f"{one['age_s']:.0f} s",
        )
    Console().print(table if found else "no message has arrived by any route yet")


@click.command()
@api_options
def throughput(api: str, token: str, as_json: bool) -> None:
    """Messages and bytes per second now, and bytes by minute over the last hour; a dot marks a minute without data."""
    found = ask(api, token, "/api/v1/throughput")
    if as_json:
        click.echo(json.dumps(found))
        return
    for layer in ("mesh", "node"):
        for way in ("in", "out"):
            if found[layer] is not None:
                click.echo(_flow(f"{layer} {way}", found[layer], way))
    if found["node"] is None:
        click.echo("node: it reports no messages")


def _flow(name: str, layer: dict[str, Any], way: str) -> str:
    """One way of one layer in two lines: now, and the last hour."""
    current, minutes = layer["current"] or {}, layer["minutes"][f"bytes_{way}_s"]
    most = max((rate for rate in minutes if rate is not None), default=None)
    bytes_s, messages_s = (_number(current.get(f"{unit}_{way}_s")) for unit in ("bytes", "messages"))
    now = f"{name:<9}{bytes_s:>12} bytes/s{messages_s:>10} messages/s"
    return f"{now}\n  {sparkline(minutes, low=0.0)} up to {_number(most)} B/s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
