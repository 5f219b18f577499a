"""Verbs about messages: routes, throughput."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peerscope.cli.api import api_options, ask, ask_all

BARS = "▁▂▃▄▅▆▇█"
UNKNOWN_BAR = "·"


@click.command()
@click.option("--by", type=click.Choice(["region", "peer"]), default="region", show_default=True, help="What to name.")
@api_options
def routes(by: str, api: str, token: str, as_json: bool) -> None:
    """How long messages took over the last hour, route by route; the most used first.

    LOST were received and neither passed on nor delivered; LAST is the time since the last one.
    """
    found = ask_all(api, token, "/api/v1/routes", {"by": by})
    if as_json:
        click.echo(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("route", overflow="fold")
    table.add_column("layer")
    for name in ("p50", "p95", "p99", "delivered", "lost", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in sorted(found, key=lambda one: -one["delivered"] - one["undelivered"]):
        table.add_row(
            Text(one["route"] + (f"  ({', '.join(one['gone'])} gone)" if one.get("gone") else "")),
            one["layer"],
            *(_milliseconds(one[quantile]) for quantile in ("p50_s", "p95_s", "p99_s")),
            str(one["delivered"]),
            str(one["undelivered"]),
            f"{one['age_s']:.0f} s",
        )
    Console().print(table if found else "no message has come by any route yet")


@click.command()
@api_options
def throughput(api: str, token: str, as_json: bool) -> None:
    """Messages and bytes per second now, and bytes by minute over the last hour; a dot is before the start."""
    found = ask(api, token, "/api/v1/throughput")
    if as_json:
        click.echo(json.dumps(found))
        return
    for layer in ("mesh", "node"):
        for way in ("in", "out"):
            if found[layer] is not None:
                click.echo(_flow(f"{layer} {way}", found[layer], way))
    if found["node"] is None:
        click.echo("node: nothing is told of its messages")


def sparkline(values: list[float | None]) -> str:
    """A bar for each value in proportion to the greatest, a dot for what is unknown; nothing at all is the lowest."""
    most = max((value for value in values if value is not None), default=0.0)
    return "".join(
        UNKNOWN_BAR if value is None else BARS[round(value / most * (len(BARS) - 1)) if most else 0] for value in values
    )


def _flow(name: str, layer: dict[str, Any], way: str) -> str:
    """One way of one layer in two lines: now, and the last hour."""
    current, minutes = layer["current"] or {}, layer["minutes"][f"bytes_{way}_s"]
    most = max((rate for rate in minutes if rate is not None), default=None)
    bytes_s, messages_s = (_number(current.get(f"{unit}_{way}_s")) for unit in ("bytes", "messages"))
    return (
        f"{name:<9}{bytes_s:>12} bytes/s{messages_s:>10} messages/s\n  {sparkline(minutes)} up to {_number(most)} B/s"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
