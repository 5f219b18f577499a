"""Verbs about alerts, incidents and threats, and the orders about them."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from peerscope.alerts.phrases import some
from peerscope.cli.alert_lists import alert_table, causes, fold, gravest_first, remarks
from peerscope.cli.api import api_options, ask, ask_all, order
from peerscope.cli.look import unwell_peers
from peerscope.cli.network import headlines
from peerscope.cli.options import Duration
from peerscope.cli.text import RANK, SEVERITIES, SHORT_HEX, age, clock, columns, counted, facts

PEERS_LISTED = 12
TREE_MAX = 40
"""Lines of a cascade in the terminal; `--json` has all."""


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "cli"


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include those that ended within a day.")
@click.option("--severity", type=click.Choice(tuple(SEVERITIES)), help="Only this severity.")
@click.option("--region", help="Only this region.")
@click.option("--each", is_flag=True, help="One line for each alert, not one for all equal ones.")
@click.option("--rules", "wants_rules", is_flag=True, help="List the rules instead, with their runbooks.")
@api_options
def alerts(
    everything: bool,
    severity: str | None,
    region: str | None,
    each: bool,
    wants_rules: bool,
    api: str,
    token: str,
    as_json: bool,
) -> None:
    """Alerts, the gravest first, equal ones folded: all of our zone, and the gravest of each other zone."""
    if wants_rules:
        _rules(ask(api, token, "/api/v1/rules"), as_json)
        return
    query = {"severity": severity, "region": region, "all": "1" if everything else None}
    found = gravest_first(ask_all(api, token, "/api/v1/alerts", query))
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console()
    if found:
        console.print(alert_table([[one] for one in found] if each else fold(found)))
    elif severity or region:
        console.print("no alerts")
    else:
        unwell = unwell_peers(ask(api, token, "/api/v1/health"))
        though = f"no active alerts, though {counted(unwell, 'peer is', 'peers are')} down or unhealthy"
        console.print(though if unwell else "no alerts")
    if severity or region:  # the summaries of other zones cannot be filtered
        return
    for zone in ask(api, token, "/api/v1/zones"):
        if count := sum(zone["alerts"].values()) if not zone["is_ours"] else 0:
            console.print(Text(f"{zone['zone']}: {count} active; the gravest of them:", "bold"))
            for line in headlines(zone):
                console.print(Text(f"  {line}"), soft_wrap=True)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include those that closed within a day.")
@api_options
def incidents(everything: bool, api: str, token: str, as_json: bool) -> None:
    """Groups of alerts with one probable root, and the tree of a cascade."""
    found = gravest_first(ask_all(api, token, "/api/v1/incidents", {"all": "1" if everything else None}))
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console()
    if not found:
        console.print("no incidents" if everything else "no open incidents")
    for one in found:
        console.print(Text.assemble((one["severity"], SEVERITIES[one["severity"]]), f"  {one['title']}"))
        is_open = one["state"] == "open"
        when = "since" if is_open else "closed, ended"
        ago = age(one.get("started_age_s" if is_open else "ended_age_s"))
        table = facts()
        table.add_row("id", Text(one["id"]))
        table.add_row("found", Text(f"{one['kind']}, {when} {ago} ago"))
        for name, line in causes(one):
            table.add_row(name, Text(line))
        table.add_row("peers", Text(some([peer[:SHORT_HEX] for peer in one["peers"]], PEERS_LISTED)))
        table.add_row("alerts", Text(one["description"]))
        if noted := remarks(one):
            table.add_row("orders", Text(noted))
        console.print(table)
        if one["tree"]:
            console.print(drawn(one["tree"]))


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 if a threat is high or critical.")
@api_options
def threats(check: bool, api: str, token: str, as_json: bool) -> None:
    """Threats to peers and the network, with evidence, confidence and advice."""
    found = ask_all(api, token, "/api/v1/threats")
    if as_json:
        click.echo(json.dumps(found))
    else:
        rates = ask(api, token, "/api/v1/anomalies")
        console = Console()
        for one in sorted(found, key=lambda one: (RANK[one["severity"]], -one["confidence"], one["id"])):
            about = one["peer_id"][:SHORT_HEX] if one["peer_id"] else one["group"] or "network"
            head = Text(one["severity"], SEVERITIES[one["severity"]])
            console.print(Text.assemble(head, f"  {one['title']}: {about}, {one['confidence']:.0%} sure"))
            table = facts()
            table.add_row("found", Text(one["text"]))
            table.add_row("evidence", Text(", ".join(f"{name} {value}" for name, value in one["evidence"])))
            table.add_row("do", Text(one["runbook"] or "-"))
            console.print(table)
        if not found:
            console.print("nothing found")
        rate, peers = rates["network"], counted(len(rates["peers"]), "peer")
        console.print(f"anomaly rate  {'unknown' if rate is None else f'{rate:.0%}, over {peers}'}")
    sys.exit(1 if check and any(one["severity"] in ("high", "critical") for one in found) else 0)


@click.command()
@click.argument("matchers", nargs=-1, required=True, metavar="FIELD=VALUE...")
@click.option("--for", "for_s", type=Duration(), required=True, help="How long: 90s, 15m, 2h, 7d.")
@click.option("--reason", required=True, help="Why; visible to all members.")
@click.option("--author", help="Your name (default: your user name).")
@click.option("--begin", metavar="TIME", help="Begin later: 02:30 (the next), 2026-12-01T02:30, or Unix seconds.")
@click.option("--rrule", metavar="RULE", help="Repeat from --begin by this rule of RFC 5545: FREQ=WEEKLY;BYDAY=SU.")
@click.option("--tz", "zone", metavar="ZONE", help="Time zone of --begin and --rrule: Europe/Berlin (default: UTC).")
@api_options
def silence(
    matchers: tuple[str, ...],
    for_s: float,
    reason: str,
    author: str | None,
    begin: str | None,
    rrule: str | None,
    zone: str | None,
    api: str,
    token: str,
    as_json: bool,
) -> None:
    """Hold back notifications of alerts that fit all matchers, in the whole network.

    FIELD is id, type, rule, peer, region or severity; `*` in VALUE stands for any text: rule=cpu-* region=eu-west.
    The alerts stay visible. With --begin or --rrule it is a maintenance window: downtime within it is planned, and
    does not count for availability.
    """
    when = {"begin": begin, "rrule": rrule, "zone": zone}
    body = {"matchers": list(matchers), "for_s": for_s, "reason": reason, "author": author or _author()}
    body |= {name: value for name, value in when.items() if value is not None}
    made = order(api, token, "POST", "/api/v1/silences", body)
    if as_json:
        click.echo(json.dumps(made))
        return
    ends = age(made["ends_at"] - made["begun_at"])
    later = f" from {clock(made['begun_at'])}" if made["state"] == "scheduled" else ""
    again = f", repeats by {made['repeats']}" if made["repeats"] else ""
    name = made["id"]
    click.echo(f"silence {name} holds for {ends}{later}{again}; end it with `peerscope unsilence {name}`")


@click.command()
@api_options
def silences(api: str, token: str, as_json: bool) -> None:
    """Silences that hold now or later, ordered at any peer."""
    found = ask_all(api, token, "/api/v1/silences")
    if as_json:
        click.echo(json.dumps(found))
        return
    if not found:
        click.echo("no silences")
        return
    table = columns("id", "matchers", "holds", "repeats", "author", "reason")
    for one in sorted(found, key=lambda one: (one["begins_in_s"], one["ends_at"])):
        matchers = " ".join(f"{field}={value}" for field, value in one["matchers"])
        holds = f"for {age(one['ends_in_s'])}" if one["state"] == "active" else _next_window(one)
        repeats = f"{one['repeats']} ({one['zone']})" if one["repeats"] else ""
        table.add_row(*(Text(cell) for cell in (one["id"], matchers, holds, repeats, one["author"], one["reason"])))
    Console().print(table)


def _next_window(silence: dict[str, Any]) -> str:
    length = age(silence["ends_at"] - silence["begun_at"])
    return f"in {age(silence['begins_in_s'])}, for {length}, from {clock(silence['begun_at'])}"


@click.command()
@click.argument("id")
@api_options
def unsilence(id: str, api: str, token: str, as_json: bool) -> None:
    """End a silence that was ordered at any peer; the beginning of its ID is enough."""
    lifted = order(api, token, "DELETE", f"/api/v1/silences/{_quoted(id)}")
    click.echo(json.dumps(lifted) if as_json else f"silence {lifted['id']} is over")


@click.command()
@click.argument("id")
@click.option("--reason", default="", help="Your next step; visible to all members.")
@click.option("--author", help="Your name (default: your user name).")
@api_options
def ack(id: str, reason: str, author: str | None, api: str, token: str, as_json: bool) -> None:
    """Acknowledge an alert or incident, so that its notification is not repeated."""
    body = {"key": id.strip(), "reason": reason, "author": author or _author()}
    made = order(api, token, "POST", "/api/v1/acknowledgements", body)
    click.echo(json.dumps(made) if as_json else f"{made['author']} acknowledged {made['key']}")


@click.command()
@click.argument("id")
@click.option("--force", is_flag=True, help="Even if it is alive. Its next record brings it back.")
@click.option("--undo", is_flag=True, help="End the order instead.")
@click.option("--reason", default="", help="Why; visible to all members.")
@click.option("--author", help="Your name (default: your user name).")
@api_options
def forget(
    id: str, force: bool, undo: bool, reason: str, author: str | None, api: str, token: str, as_json: bool
) -> None:
    """Have the whole network forget a peer that is gone for good.

    ID is a peer of this zone; the beginning of an id is enough. Its alerts end as forgotten. Its next record brings it
    back.
    """
    if undo:
        lifted = order(api, token, "DELETE", f"/api/v1/forgotten/{_quoted(id, 'forgotten')}")
        click.echo(json.dumps(lifted) if as_json else f"{lifted['id'][:SHORT_HEX]} is no longer forgotten")
        return
    body = {"peer": id.strip(), "force": force, "reason": reason, "author": author or _author()}
    made = order(api, token, "POST", "/api/v1/forgotten", body)
    name = made["id"][:SHORT_HEX]
    click.echo(
        json.dumps(made) if as_json else f"{name} is forgotten until its next record; `peerscope forget --undo {name}`"
    )


@click.command()
@api_options
def forgotten(api: str, token: str, as_json: bool) -> None:
    """Peers that operators declared gone for good and that have sent no record since."""
    found = ask_all(api, token, "/api/v1/forgotten")
    if as_json:
        click.echo(json.dumps(found))
        return
    if not found:
        click.echo("no forgotten peers")
        return
    table = columns("peer", "ordered", "author", "reason")
    for one in sorted(found, key=lambda one: one["age_s"]):
        ago = f"{age(one['age_s'])} ago"
        table.add_row(*(Text(cell) for cell in (one["id"][:SHORT_HEX], ago, one["author"], one["reason"])))
    Console().print(table)


def _rules(found: list[Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console()
    for rule in found:
        off = "  (off)" if not rule["enabled"] else "" if rule["notify"] else "  (notifies nobody)"
        head = Text.assemble((rule["name"], "bold"), "  ", (rule["severity"], SEVERITIES[rule["severity"]]), off)
        console.print(head)
        table = facts()
        table.add_row("when", Text(_condition(rule)))
        table.add_row("first", Text(rule["runbook"] or "-"))
        console.print(table)


def _condition(rule: dict[str, Any]) -> str:
    side, limit = ("above", rule["above"]) if rule["above"] is not None else ("below", rule["below"])
    held = f" for {age(rule['for_s'])}" if rule["for_s"] else ""
    if not rule.get("measure"):  # earlier agents have none
        return f"{rule['signal']} {side} {limit:g}{held}"
    limit_shown = f"{limit:g} {rule.get('unit', '')}".rstrip()
    name = f"change of {rule['measure']} in {rule['over_s']:g} s" if rule["over_s"] else rule["measure"]
    if rule["relative"]:
        return f"{name} more than {limit_shown} {side} the median of the others{held}"
    return f"{name} {side} {limit_shown}{held}"


def drawn(nodes: Iterable[dict[str, Any]]) -> Tree:
    """The tree of a cascade, shortened to a screen. In the answer, parents precede their children."""
    branches: dict[str, Tree] = {}
    root: Tree | None = None
    left = 0
    for node in nodes:
        rule = node["alert_id"].rpartition("-")[0]
        line = Text(f"{node['peer_id'][:SHORT_HEX]} {rule}")
        if node["parent"] is not None:
            line.append(f"  {age(node['delay_s'])} later, {node['confidence']:.0%} sure", "dim")
        parent = branches.get(node["parent"]) if node["parent"] is not None else None
        if root is None:
            root = branches[node["alert_id"]] = Tree(line)
        elif parent is not None and len(branches) < TREE_MAX:
            branches[node["alert_id"]] = parent.add(line)
        else:
            left += 1
    assert root is not None
    if left:
        root.add(Text(f"and {left} more", "dim"))
    return root


def _quoted(name: str, verb: str = "silences") -> str:
    name = name.strip()
    if not name or not set(name) <= set("0123456789abcdef"):
        kind = {"silences": "silence", "forgotten": "id of a peer"}[verb]
        raise click.BadParameter(f"{name!r} is no {kind}: hexadecimal digits, as `peerscope {verb}` prints them")
    return name
