"""The verb that shows the map: topology."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from peerscope.cli.api import api_options, ask, ask_text
from peerscope.cli.options import FILE
from peerscope.cli.text import SHORT_HEX, columns, counted, milliseconds, percent, write_file

FILE_COLUMNS = 140
NUMBERS = ("rtt", "one end", "other", "loss")
CONFIRMED = {"both": ", both ends", "one": ", one end", "contradicted": ", unconfirmed", "foreign": ""}
"""Words after the layer of a link between nodes."""
NAMED_MAX = 20
"""Peers and links listed by name; beyond this, only their count."""


@click.command()
@click.option("--format", "form", type=click.Choice(("table", "dot", "svg", "json")), help="Default: table.")
@click.option("-o", "--output", type=FILE, help="Write to this file instead.")
@click.option("--clusters", is_flag=True, help="With dot: a box around the peers of each region.")
@api_options
def topology(form: str | None, output: Path | None, clusters: bool, api: str, token: str, as_json: bool) -> None:
    """The map: links on every layer, the slowest first, and single points of failure."""
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} contradict each other: give one of them")
    form = "json" if as_json else form or "table"
    if clusters and form != "dot":
        raise click.UsageError("--clusters is for --format dot")
    if form in ("dot", "svg"):
        query = {"clusters": "1"} if clusters else None
        text = ask_text(api, token, f"/api/v1/topology.{form}", query)
    else:
        found = ask(api, token, "/api/v1/topology")
        if form == "table" and output is None:
            _show(Console(), found)
            return
        text = json.dumps(found) + "\n" if form == "json" else _plain(found)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_file(output, text)


def _show(console: Console, found: dict[str, Any]) -> None:
    peers = {peer["peer_id"]: peer for peer in found["peers"]}
    monitored = sum(peer["monitored"] for peer in found["peers"])
    counts = [
        counted(monitored, "peer"),
        counted(len(found["links"]), "link"),
        counted(len(found["regions"]), "region"),
    ]
    if hollow := len(peers) - monitored:
        counts.append(f"{hollow} known only as a neighbour")
    console.print(", ".join(counts))
    table = columns(padding=(0, 1, 0, 0))
    for name in ("peer", "region", "peer", "region", "layer", "rtt", "one end", "other", "loss"):
        table.add_column(
            name,
            no_wrap=name not in ("region", "layer"),
            overflow="fold",
            justify="right" if name in NUMBERS else "left",
        )
    for link in sorted(found["links"], key=lambda link: (link["rtt_s"] is None, -(link["rtt_s"] or 0.0))):
        table.add_row(
            *_end(peers[link["source"]]),
            *_end(peers[link["target"]]),
            Text(link["layer"] + ", relayed" * bool(link.get("relayed")) + CONFIRMED.get(link.get("confirmed"), "")),
            "~" * link["estimated"] + milliseconds(link["rtt_s"]),
            milliseconds(link["source_rtt_s"]),
            milliseconds(link["target_rtt_s"]),
            percent(link["loss_ratio"], 1),
        )
    console.print(table)
    for line in _layers(found):
        console.print(Text(line))
    for line in _dangers(found, peers):
        console.print(Text(line, "bold yellow"))


def _layers(found: dict[str, Any]) -> list[str]:
    """One line for each network of nodes, and for each node that several peers claim."""
    lines = []
    for layer in found.get("layers", ()):
        edges = f"{layer['confirmed']} confirmed by both ends, {layer['one_end']} by one end"
        if layer["contradicted"]:
            edges += f", {layer['contradicted']} unconfirmed: the other end does not list them"
        foreign = f"{layer['foreign']} without" + f" ({layer['hidden']} not shown)" * bool(layer["hidden"])
        lines.append(
            f"{layer['layer']}: {counted(layer['monitored'], 'node')} with an agent, {foreign}; links: {edges}"
        )
    for peer in found["peers"]:
        if peer.get("claimed_by"):
            names = ", ".join(one[:SHORT_HEX] for one in peer["claimed_by"])
            lines.append(f"{peer['peer_id']}: several peers name this node as theirs: {names}")
    return lines[:NAMED_MAX]


def _dangers(found: dict[str, Any], peers: dict[str, Any]) -> list[str]:
    """One line for each partition and each single point of failure."""
    lines = []
    if len(found["components"]) > 1:
        sizes = ", ".join(str(len(part)) for part in found["components"][:NAMED_MAX])
        lines.append(f"the mesh is in {len(found['components'])} pieces: {sizes} peers")
    for group in found["partitions"]:
        lines.append(f"{counted(len(group), 'peer was', 'peers were')} lost together")
    names = [peers[peer]["short_id"] for peer in found["articulation_peers"]]
    lines += [f"the network splits if {name} fails" for name in names[:NAMED_MAX]]
    links = [" - ".join(peers[end]["short_id"] for end in bridge) for bridge in found["bridges"]]
    lines += [f"the network splits if the link {name} fails" for name in links[:NAMED_MAX]]
    more = sum(max(0, len(some) - NAMED_MAX) for some in (names, links))
    return [*lines, f"and {more} more; --json lists all"] if more else lines


def _plain(found: dict[str, Any]) -> str:
    """The table as plain text, for a file."""
    console = Console(file=io.StringIO(), width=FILE_COLUMNS, color_system=None, force_terminal=False)
    with console.capture() as captured:
        _show(console, found)
    return captured.get()


def _end(peer: dict[str, Any]) -> tuple[str | Text, Text]:
    if not peer["monitored"]:
        return Text(peer["short_id"]), Text("not monitored", "dim")
    return peer["peer_id"][:SHORT_HEX], Text(peer["region"] or "-")
