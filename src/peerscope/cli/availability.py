"""The verb `availability`: shares of time by verdict."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from peerscope.cli.api import api_options, ask_all
from peerscope.cli.text import SHORT_HEX, age, columns, counted, percent

DAY_S = 86_400


@click.command()
@click.option("--peer", metavar="ID", help="Only this peer, by the beginning of its id.")
@click.option("--region", help="Only this region and its peers.")
@click.option("--since", default="24h", show_default=True, metavar="SPAN", help="1h, 24h, 7d, 30d, or Unix seconds.")
@api_options
def availability(peer: str | None, region: str | None, since: str, api: str, token: str, as_json: bool) -> None:
    """The share of time in which peers, regions and the network were up, as the agent saw them.

    Time in which the agent did not run is unknown, and planned absences do not count. Exits with 1 if nothing is known.
    """
    query = {"peer": peer, "region": region, "since": since}
    found = ask_all(api, token, "/api/v1/availability", query)
    is_known = any(row["up_ratio"] is not None for row in found)
    if as_json:
        click.echo(json.dumps(found))
    else:
        table = columns("about", "up", "down for", "suspect", "planned", "unknown", "of")
        for row in found:
            table.add_row(*(Text(cell) for cell in _cells(row)))
        Console().print(table)
    sys.exit(0 if is_known else 1)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    about = row["id"][:SHORT_HEX] if row["scope"] == "peer" else row["id"]
    if row["scope"] != "peer":
        about = f"{about} ({counted(row['peers'], 'peer')})"
    elif row["region"]:
        about = f"{about} {row['region']}"
    lengths = (row["down_s"], row["suspect_s"], row["planned_s"], row["unknown_s"], row["window_s"])
    return (about, _up(row["up_ratio"]), *(_length(seconds) for seconds in lengths))


def _up(ratio: float | None) -> str:
    """Three digits after the point, never rounded up to 100 %."""
    return percent(None if ratio is None else math.floor(ratio * 1e5) / 1e5, 3)


def _length(seconds: float) -> str:
    if seconds == 0:
        return "-"
    return age(seconds) if seconds < 3 * DAY_S else f"{seconds / DAY_S:.1f} d"
