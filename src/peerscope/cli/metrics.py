"""Verbs about measurements: metrics of all peers, and the node of one agent."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from peerscope.cli.api import api_options, ask
from peerscope.cli.detect import detect
from peerscope.cli.sections import Section, show_sections
from peerscope.cli.text import columns, counted, size

PARTS = ("system", "node", "performance", "agent")
NETWORK_PARTS = {"mesh": PARTS, "nodes": ("system", "node", "performance", "mesh_performance", "agent")}
"""By what `performance` is about."""
TITLES = {
    ("performance", "nodes"): "performance of the nodes",
    ("performance", "mesh"): "performance of the mesh",
    ("mesh_performance", "nodes"): "performance of the mesh, without a node",
}
STATISTICS = ("mean", "median", "p95", "peak", "sum")
TRENDS = {"peer_count": "peers", "average_latency": "latency_s", "error_rate": "error_ratio"}
"""Label of each trend; its ending is the unit."""
ARROWS = {"up": "↑", "down": "↓", "stable": "→", "unknown": "?"}
MEASURE_UNITS = ("ratio", "bytes", "seconds")
"""Units of measures that the values show."""
SOURCE_STYLES = {"healthy": "green", "unhealthy": "red"}


@click.command()
@api_options
def metrics(api: str, token: str, as_json: bool) -> None:
    """Measurements of all peers over the last five minutes, and trends: the last hour against the 23 before."""
    found = ask(api, token, "/api/v1/metrics")
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console()
    minutes = found["window_s"] / 60
    place = f" of zone {found['zone']}" if found["zone"] else ""
    console.print(
        f"{found['active_peers']} of {counted(found['total_peers'], 'peer')}{place} active, last {minutes:.0f} min"
    )
    sections = []
    for part in NETWORK_PARTS[found["performance_of"]]:
        known = {name: values for name, values in found[part].items() if values is not None}
        title = TITLES.get((part, found["performance_of"]), part)
        rows = [_row(name, values) for name, values in known.items()]
        sections.append(Section(title if known else f"{title}: no data", rows))
    if (whole := found["whole"]) is not None:
        sections.append(_whole(whole))
    show_sections(console, (*STATISTICS, "peers"), sections, spare=("mean", "p95"))
    own = groupby(found.get("measures", ()), key=itemgetter("node"))
    if kinds := [Section(f"measures of {node} nodes", [_measure(one) for one in rows]) for node, rows in own]:
        show_sections(console, ("lowest", "median", "highest", "nodes"), kinds)
    for name, field in TRENDS.items():
        console.print(Text(f"trend of {name:<16}{_trend(found['trends'][name], field)}"), soft_wrap=True)


@click.group(invoke_without_command=True)
@api_options
@click.pass_context
def node(context: click.Context, api: str, token: str, as_json: bool) -> None:
    """The node of this peer: its measurements and the status of their sources. Exits with 1 if a source fails."""
    context.obj = as_json
    if context.invoked_subcommand is not None:
        return
    found = ask(api, token, "/api/v1/node")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_node(Console(), found)
    sys.exit(any(source["status"] == "unhealthy" for source in found["sources"]))


node.add_command(detect)


def _row(name: str, values: dict[str, Any]) -> tuple[str, list[str]]:
    peers = values.get("peers")
    cells = [written(name, values.get(statistic)) for statistic in STATISTICS]
    return name, [*cells, "-" if peers is None else str(peers)]


def _whole(whole: dict[str, Any]) -> Section:
    """The rows about all zones."""
    values = {name: whole[name] for name in ("cpu_ratio", "memory_ratio")}
    values["throughput_bytes_s"] = None if (total := whole["throughput_bytes_s"]) is None else {"sum": total}
    values["link latency_s"] = None if (rtt := whole["link_rtt_s"]) is None else rtt | {"peers": None}
    title = f"all {counted(whole['zones'], 'zone')}, {counted(whole['total_peers'], 'peer')}, by their summaries"
    return Section(title, [_row(name, one) for name, one in values.items() if one is not None])


def _measure(one: dict[str, Any]) -> tuple[str, list[str]]:
    """Its unit stands in its cells or beside its name. The lowest value matters too: it may be a height."""
    unit, rate = one["unit"], "/s" if one["is_counter"] else ""
    name = one["name"] if unit in MEASURE_UNITS else f"{one['name']} [{unit or 'count'}{rate}]"
    bare = "" if unit not in MEASURE_UNITS else rate
    shown = unit if unit in MEASURE_UNITS else ""
    cells = [measure_text({"value": one[end], "unit": shown}) + bare for end in ("min", "median", "max")]
    others = f" (+{one['other_peers']} differ)" if one["other_peers"] else ""
    return name, [*cells, f"{one['peers']}{others}"]


def lines(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Measurements of one peer: name and text of each part with data."""
    found = []
    for part in PARTS:
        known = {name: value for name, value in (metrics[part] or {}).items() if value is not None}
        if known:
            shown = (f"{_plain(name, known)} {written(name, value)}" for name, value in known.items())
            found.append((part, ", ".join(shown)))
    own = [f"{one['name']} {measure_text(one)}" for one in metrics.get("measures", ()) if one["value"] is not None]
    return [*found, ("measures", ", ".join(own))] if own else found


def measure_text(one: dict[str, Any]) -> str:
    """Format a measure that the node names itself, with its unit."""
    match one["unit"]:
        case "ratio":
            return f"{one['value']:.1%}"
        case "bytes":
            return size(one["value"])
        case "seconds":
            return _duration(one["value"]) if one["value"] >= 0 else grouped(one["value"]) + " s"
        case unit:
            return f"{grouped(one['value'])} {unit}".rstrip()


def written(name: str, value: float | None) -> str:
    """Format a value with the unit at the end of its name."""
    if value is None:
        return "-"
    return next((write(value) for ending, write in UNITS.items() if name.endswith(ending)), f"{value:,.0f}")


def _plain(name: str, beside: Iterable[str]) -> str:
    """The name without its unit. A rate beside its total says so."""
    rate = " per second" if name.endswith("_s") and name.removesuffix("_s") in beside else ""
    return re.sub("_(ratio|bytes_s|bytes|s)$", "", name).replace("_", " ") + rate


def _duration(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"


UNITS: dict[str, Callable[[float], str]] = {
    "_ratio": lambda value: f"{value:.1%}",
    "_bytes_s": lambda value: f"{size(value)}/s",
    "_bytes": size,
    "latency_s": _duration,
    "lag_s": _duration,
    "_s": lambda value: f"{value:,.2f}/s",
}
"""Format by the ending of a name, the longer endings first."""


def _trend(trend: dict[str, Any], field: str) -> str:
    direction, change_ratio = trend["direction"], trend["change_ratio"]
    change = "" if change_ratio is None else f" {change_ratio:+.0%}"
    if direction == "unknown":
        mean = written(field, trend["current"])
        return f"unknown: needs half an hour, and an hour before it; mean of the last hour {mean}"
    before, lately = written(field, trend["previous"]), written(field, trend["current"])
    return f"{ARROWS[direction]} {direction}{change} (mean of the last hour {lately}, of the 23 before {before})"


def _show_node(console: Console, found: dict[str, Any]) -> None:
    if found["node"] is None:
        console.print("no node is attached; `peerscope run --node-source SPEC` attaches one")
        console.print("`peerscope node detect` lists the nodes of this machine")
        return
    version = f" {found['version']}" if found["version"] else ""
    console.print(Text.assemble(("node ", "bold"), found["node"], version, f"  {found['node_id'] or ''}".rstrip()))
    table = columns(show_header=False)
    for name, value in {**found["metrics"], "latency_s": found["latency_s"]}.items():
        if value is not None:
            # An older agent says no age.
            age_s = found.get("latency_age_s") if name == "latency_s" else None
            of = "" if age_s is None else f" ({age_s:.0f} s ago)"
            table.add_row(Text(f"  {name}"), Text(written(name, value) + of))
    table.add_row("  neighbours", str(len(found["neighbours"])))
    own = [(one["name"], measure_text(one)) for one in found.get("measures", ()) if one["value"] is not None]
    here = [(name, grouped(value)) for name, value in found["details"].items() if value is not None]
    for heading, rows in (("measures", own), ("only here", here)):
        if rows:
            table.add_row(Text(f"  {heading}", "bold"))
        for name, text in rows:
            table.add_row(Text(f"    {name}"), Text(text))
    console.print(table)
    for source in found["sources"]:
        again = f" ({source['failures']} times in a row)" if source["failures"] > 1 else ""
        status = Text(f"{source['status']:<11}", SOURCE_STYLES.get(source["status"], ""))
        console.print(Text.assemble("  ", source["source"], "  ", status, source["message"], again))


def grouped(value: float | str) -> str:
    """Format a number with separated thousands."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
