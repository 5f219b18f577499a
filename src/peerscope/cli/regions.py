"""Verbs about regions and latency: regions, latency, rtt."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peerscope.cli.api import api_options, ask, ask_all
from peerscope.cli.look import REGION_SAID_BY, SHORT_HEX, STYLES

STYLES_OF_REGIONS = {**STYLES, "critical": "bold red"}
COLUMNS_MAX = 8
"""Regions that fit beside each other; more are listed pair by pair."""


@click.command()
@api_options
def regions(api: str, token: str, as_json: bool) -> None:
    """The health of every region. A name with ~ is a guess: peers near each other by latency."""
    found = ask_all(api, token, "/api/v1/regions")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = Table("region", "status", "healthy", "connectivity", "rtt", "reaches", "", box=None, pad_edge=False)
    for one in found:
        table.add_row(
            Text(one["region"]),
            Text(one["status"], STYLES_OF_REGIONS.get(one["status"], "")),
            f"{one['healthy_peers']} of {one['total_peers']}",
            "-" if one["connectivity"] is None else f"{one['connectivity']:.0%}",
            _milliseconds(one["rtt_s"]),
            f"{one['reached_regions']} of {one['other_regions']}",
            Text(REGION_SAID_BY.get(one["source"], ""), "dim"),
        )
    Console().print(table)


@click.command()
@api_options
def latency(api: str, token: str, as_json: bool) -> None:
    """Round-trip times region by region: median / 95th percentile; ~ where nothing but an estimate is known."""
    found = ask(api, token, "/api/v1/latency")
    if as_json:
        click.echo(json.dumps(found))
        return
    names, pairs = found["regions"], found["pairs"]
    if len(names) > COLUMNS_MAX:
        table = Table("from", "to", "median / p95", box=None, pad_edge=False)
        for pair in pairs:
            table.add_row(Text(pair["source"]), Text(pair["target"]), _spread(pair))
    else:
        table = Table("ms", box=None, pad_edge=False)
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

    Exits with 1 where nobody knows it.
    """
    found = ask(api, token, "/api/v1/rtt", {"source": a, "target": b})
    if as_json:
        click.echo(json.dumps(found))
    else:
        ends = f"{found['source'][:SHORT_HEX]} - {found['target'][:SHORT_HEX]}"
        click.echo(f"{ends}  {_told(found)}")
    sys.exit(1 if found["rtt_s"] is None else 0)


def _told(found: dict[str, Any]) -> str:
    if found["rtt_s"] is None:
        return f"unknown: {found['reason']}"
    if found["estimated"]:
        errors = f"{found['source_error_ratio']:.0%} and {found['target_error_ratio']:.0%}"
        return f"~{_milliseconds(found['rtt_s'])}, estimated; their coordinates are off by {errors}"
    loss = "" if found["loss_ratio"] is None else f", {found['loss_ratio']:.1%} loss"
    return f"{_milliseconds(found['rtt_s'])}, measured{loss}"


def _spread(pair: dict[str, Any]) -> str:
    mark, spread = ("", pair["measured"]) if pair["measured"] else ("~", pair["estimated"])
    if spread is None:
        return "-"
    return f"{mark}{spread['median_s'] * 1000:.1f} / {spread['p95_s'] * 1000:.1f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
