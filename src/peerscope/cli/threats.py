"""The verb about threats."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peerscope.cli.api import api_options, ask, ask_all
from peerscope.cli.look import SEVERITIES as STYLES
from peerscope.cli.look import SHORT_HEX

ORDER = tuple(reversed(STYLES))


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 when something high or critical was found.")
@api_options
def threats(check: bool, api: str, token: str, as_json: bool) -> None:
    """What threatens peers and the network: found how, how sure, and what to do first."""
    found = ask_all(api, token, "/api/v1/threats")
    if as_json:
        click.echo(json.dumps(found))
    else:
        rates = ask(api, token, "/api/v1/anomalies")
        console = Console()
        for one in sorted(found, key=lambda one: (ORDER.index(one["severity"]), -one["confidence"], one["id"])):
            about = one["peer_id"][:SHORT_HEX] if one["peer_id"] else one["group"] or "network"
            head = Text(one["severity"], STYLES[one["severity"]])
            console.print(Text.assemble(head, f"  {one['title']}: {about}, {one['confidence']:.0%} sure"))
            table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 1, 0, 4))
            table.add_row("found", Text(one["text"]))
            table.add_row("evidence", Text(", ".join(f"{name} {value}" for name, value in one["evidence"])))
            table.add_row("do", Text(one["runbook"] or "-"))
            console.print(table)
        if not found:
            console.print("nothing found")
        rate, peers = rates["network"], len(rates["peers"])
        console.print(f"anomaly rate  {'unknown' if rate is None else f'{rate:.0%}, over {peers} peers'}")
    sys.exit(1 if check and any(one["severity"] in ("high", "critical") for one in found) else 0)
