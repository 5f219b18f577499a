"""The verb zones."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peerscope.cli.api import api_options, ask
from peerscope.cli.look import SHORT_HEX
from peerscope.records.alerts import Severity


@click.command()
@api_options
def zones(api: str, token: str, as_json: bool) -> None:
    """The zones of a large network: its own in full, the others as their aggregators agree."""
    found = ask(api, token, "/api/v1/zones")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = Table("zone", "peers", "healthy", "down", "latency", "alerts", "summary", box=None, pad_edge=False)
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
    """The gravest alerts of a zone that is not ours, a line each."""
    return [f"{Severity(one['severity']).name.lower()}: {one['title']} ({one['id']})" for one in zone["headlines"]]
