"""The verb that shows the node beside one agent: node."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peerscope.cli.api import api_options, ask

STYLES = {"healthy": "green", "unhealthy": "red"}


@click.command()
@api_options
def node(api: str, token: str, as_json: bool) -> None:
    """The node beside this peer: what its sources say, and how they are. Exits with 1 where one does not answer."""
    found = ask(api, token, "/api/v1/node")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(Console(), found)
    sys.exit(any(source["status"] == "unhealthy" for source in found["sources"]))


def _show(console: Console, found: dict[str, Any]) -> None:
    if found["node"] is None:
        console.print("no node is attached; `peerscope run --node-source SPEC` names where to learn of one")
        return
    version = f" {found['version']}" if found["version"] else ""
    console.print(Text.assemble(("node ", "bold"), found["node"], version, f"  {found['node_id'] or ''}".rstrip()))
    table = Table(box=None, pad_edge=False, show_header=False)
    values = {**found["metrics"], "latency_s": found["latency_s"], **found["details"]}
    for name, value in values.items():
        if value is not None:
            table.add_row(Text(f"  {name}"), Text(_plain(value)))
    table.add_row("  neighbours", str(len(found["neighbours"])))
    console.print(table)
    for source in found["sources"]:
        again = f" ({source['failures']} times in a row)" if source["failures"] > 1 else ""
        status = Text(f"{source['status']:<11}", STYLES.get(source["status"], ""))
        console.print(Text.assemble("  ", source["source"], "  ", status, source["message"], again))


def _plain(value: float | str) -> str:
    """Whole numbers with their thousands apart."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"
