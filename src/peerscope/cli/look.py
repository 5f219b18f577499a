"""Verbs that show one agent's view: status, peers, peer, why, top."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from peerscope.alerts.phrases import times
from peerscope.cli.alert_lists import abouts, fold, gravest_first
from peerscope.cli.api import CA, api_options, ask, ask_all, connection_options
from peerscope.cli.metrics import lines
from peerscope.cli.text import (
    REGION_SOURCES,
    SEVERITIES,
    SHORT_HEX,
    STYLES,
    age,
    columns,
    counted,
    milliseconds,
    percent,
)

ALONE_MAX = 5
"""Lines about alerts outside of incidents in `status`."""
STATUSES = ("healthy", "degraded", "unhealthy", "unknown", "down", "left")


@click.command()
@click.option(
    "--check", is_flag=True, help="Exit with 1 unless every peer is healthy and no alert or incident is critical."
)
@api_options
def status(check: bool, api: str, token: str, as_json: bool) -> None:
    """The network's health and this peer, in one screen."""
    health, me = ask(api, token, "/api/v1/health"), ask(api, token, "/api/v1/self")
    mine = ask(api, token, f"/api/v1/peers/{me['peer_id']}")
    active, open_now = ask_all(api, token, "/api/v1/alerts"), ask_all(api, token, "/api/v1/incidents")
    is_critical = any(one["severity"] == "critical" for one in (*active, *open_now))
    bad = health["healthy_peers"] < health["total_peers"] or is_critical
    if as_json:
        shown = {**me, "status": mine["status"], "checks": mine["checks"]}
        _print({"health": health, "self": shown, "alerts": active, "incidents": open_now})
    else:
        _show_status(Console(), health, me, mine)
        _show_alerts(Console(), active, open_now, unwell_peers(health))
    sys.exit(1 if check and bad else 0)


@click.command()
@click.option("--region", help="Only this region.")
@click.option("--status", "wanted", type=click.Choice(STATUSES), help="Only this status.")
@api_options
def peers(region: str | None, wanted: str | None, api: str, token: str, as_json: bool) -> None:
    """All known peers."""
    found = ask_all(api, token, "/api/v1/peers", {"region": region, "status": wanted})
    if as_json:
        _print(found)
        return
    table = columns("peer", "region", "status", "verdict", "links", "rtt", "age", "version")
    for view in found:
        rtts = sorted(link["rtt_s"] for link in view["links"] if link["rtt_s"] is not None)
        table.add_row(
            view["short_id"],
            Text(view["region"] or "-"),
            _coloured(view["status"]),
            _verdict(view),
            str(len(view["links"])),
            milliseconds(rtts[len(rtts) // 2] if rtts else None),
            age(view["age_s"]),
            Text(view["version"]),
        )
    Console().print(table)


@click.command()
@click.argument("id")
@api_options
def peer(id: str, api: str, token: str, as_json: bool) -> None:
    """Everything about one peer of any zone; the beginning of its ID is enough."""
    view = ask(api, token, f"/api/v1/peers/{_hex(id)}")
    if as_json:
        _print(view)
        return
    console = Console()
    console.print(Text.assemble(("peer ", "bold"), view["peer_id"]))
    for name, value in (
        ("region", _region(view)),
        ("status", _coloured(view["status"])),
        ("verdict", _verdict(view)),
        ("version", Text(view["version"])),
        ("node", Text(view["node"] or "no node attached")),
        ("machine", Text(view.get("host") or "unknown")),
        *_reachable(view.get("reachability")),
        ("last report", age(view["age_s"]) + " ago" if view["age_s"] is not None else "none"),
        ("running", _running(view)),
        ("addresses", Text(", ".join(view["addresses"]))),
        ("clock", "-" if _is_gone(view) else _clock(view["clock_skew_s"])),
    ):
        console.print(Text(f"  {name:<12}"), value, end="\n", sep="")
    for line in hearsay(view.get("hearsay")):
        console.print(Text(f"  {'zone':<12}"), line, sep="")
    for check in (view["checks"] or {}).values():
        mark = _coloured(f"{check['status']:<10}", check["status"])
        console.print(Text(f"  {check['name']:<12}"), mark, Text(check["message"]), sep="")
    for part, text in lines(view["metrics"]) if view["metrics"] else ():
        console.print(Text(f"  {part:<12}"), Text(text), sep="")
    if view["links"]:
        table = columns("neighbour", "rtt", "loss")
        for link in view["links"]:
            table.add_row(link["peer_id"][:SHORT_HEX], milliseconds(link["rtt_s"]), percent(link["loss_ratio"]))
        console.print(table)


@click.command()
@click.argument("id")
@api_options
def why(id: str, api: str, token: str, as_json: bool) -> None:
    """The evidence behind a peer's verdict: observers that lost it, and observers that hear it."""
    found = ask(api, token, f"/api/v1/peers/{_hex(id)}/evidence")
    if as_json:
        _print(found)
        return
    console = Console()
    name = found["peer_id"][:SHORT_HEX]
    console.print(Text.assemble(("peer ", "bold"), name, " is ", _word(found["verdict"]), f": {found['arithmetic']}"))
    if found["partition"]:
        console.print(Text(f"  lost together with {counted(found['partition']['size'] - 1, 'other')}"))
    for accusation in found["accusations"]:
        doubt = ""
        if not accusation["counts"]:
            reason = "repeatedly refuted" if accusation["voiceless"] else "itself accused"
            doubt = f" ({reason}: does not count)"
        since = age(accusation["last_heard_s"])
        observer = accusation["observer"][:SHORT_HEX]
        console.print(Text(f"  {observer} has not heard it for {since}: {accusation['reason']}{doubt}"))
    for observer in found["heard_by"]:
        console.print(Text(f"  {observer[:SHORT_HEX]} hears it"))
    for line in hearsay(found.get("hearsay")):
        console.print(Text("  "), line, sep="")


@click.command()
@connection_options
@click.pass_context
def top(context: click.Context, api: str, token: str) -> None:
    """Overview, peers, alerts, incidents and regions, live in the terminal. The footer lists the keys; q ends it."""
    from peerscope.host.extras import brought_by

    with brought_by("top", "`peerscope top`"):
        from peerscope.top.app import Top
    ask(api, token, "/api/v1/self")  # fails with a clear error before the screen changes
    Top(api, token, context.meta.get(CA)).run()


def hearsay(found: dict[str, Any] | None) -> Iterator[Text]:
    """Lines on the sources of a peer in another zone; none for our own zone."""
    if found is None:
        return
    yield Text(f"{found['zone'] or 'another'}, not ours: the verdict comes from its aggregators")
    for peer, verdict in found["said"].items():
        contradicted = " (the others contradict it)" if peer in found["disagreeing"] else ""
        says = Text.assemble("says ", _word(verdict)) if verdict else Text("has no record of it")
        yield Text.assemble(f"aggregator {peer[:SHORT_HEX]} ", says, contradicted)
    for peer in found["silent"]:
        yield Text(f"aggregator {peer[:SHORT_HEX]} does not answer", "dim")


def unwell_peers(health: dict[str, Any]) -> int:
    """Count of peers that are down or unhealthy. With any, a missing alert may only be late."""
    return int(health["down_peers"] + health["unhealthy_peers"])


def _show_status(console: Console, health: dict[str, Any], me: dict[str, Any], mine: dict[str, Any]) -> None:
    line = Text.assemble(("network ", "bold"), me["network"], f"  {counted(health['total_peers'], 'peer')}: ")
    parts = [(name, health[f"{name}_peers"]) for name in STATUSES if f"{name}_peers" in health]
    shown = [Text(f"{count} {name}", STYLES.get(name, "")) for name, count in parts if count]
    console.print(line + Text(", ").join(shown))
    if unintroduced := health.get("unintroduced_peers", 0):
        one, many = "more sends reports, but its profile has", "more send reports, but their profiles have"
        console.print(Text(f"  {counted(unintroduced, one, many)} not arrived", "yellow"))
    middle, mean = milliseconds(health["median_latency_s"]), milliseconds(health["average_latency_s"])
    console.print(f"  connectivity {percent(health['connectivity'])}   latency {middle} median, {mean} mean")
    region = f" in {me['region']}" if me["region"] else ""
    console.print(Text.assemble(("this peer ", "bold"), f"{me['short_id']}{region}: ", _coloured(mine["status"])))
    for check in (mine["checks"] or {}).values():
        mark = _coloured(f"{check['status']:<10}", check["status"])
        console.print(Text(f"  {check['name']:<8}"), mark, Text(check["message"]), sep="")
    console.print(Text(f"  ticket  {me['ticket']}"), soft_wrap=True)
    beats = me.get("heartbeat")
    if beats is not None and beats["last_error"] is not None:
        console.print(Text(f"  heartbeats fail: {beats['last_error']}: see peerscope doctor", "yellow"), soft_wrap=True)
    for one in me.get("shared_key", ()):
        where = ", ".join(one["addresses"]) or "an unknown address"
        warning = f"  another agent runs with this peer's key, at {where}, heard {age(one['heard_age_s'])} ago"
        console.print(Text(f"{warning}: see peerscope doctor", "bold red"), soft_wrap=True)


def _show_alerts(console: Console, active: list[dict[str, Any]], open_now: list[dict[str, Any]], unwell: int) -> None:
    """Print counts by severity, incidents, and alerts outside of them, grave and new ones first.

    `unwell`: peers that are down or unhealthy.
    """
    counts = Counter(one["severity"] for one in active)
    shown = [Text(f"{counts[name]} {name}", SEVERITIES[name]) for name in SEVERITIES if counts[name]]
    none = (
        Text(f"none active, though {counted(unwell, 'peer is', 'peers are')} down or unhealthy", "yellow")
        if unwell
        else Text("none", "green")
    )
    over = sum(bool(one.get("clearing")) for one in active)
    console.print(Text("alerts ", "bold") + (Text(", ").join(shown) if shown else none) + _over(over, len(active)))
    for one in gravest_first(open_now):
        console.print(Text.assemble("  incident ", (one["severity"], SEVERITIES[one["severity"]]), f"  {one['title']}"))
    incidents = {one["id"] for one in open_now}
    alone = fold(gravest_first(one for one in active if one["incident"] not in incidents))
    for same in alone[:ALONE_MAX]:
        severity = same[0]["severity"]
        words = f"  {times(len(same), same[0]['rule'])}  {abouts(same)}"
        console.print(Text.assemble("  alert    ", (severity, SEVERITIES[severity]), words))
    if len(alone) > ALONE_MAX:
        console.print(Text(f"  and {sum(map(len, alone[ALONE_MAX:]))} more: see peerscope alerts", "dim"))


def _over(clearing: int, active: int) -> Text:
    """Remark on the alerts that are about to resolve."""
    if not clearing:
        return Text("")
    return Text(f" (over for now: {'all' if clearing == active else clearing})", "dim")


def _hex(name: str) -> str:
    name = name.strip().lower()
    if not name or len(name) > 64 or set(name) - set("0123456789abcdef"):
        raise click.BadParameter(
            f"{name!r} is not a peer id; must be hexadecimal digits, as `peerscope peers` prints them"
        )
    return name


def _print(value: Any) -> None:
    click.echo(json.dumps(value))


def _reachable(found: dict[str, Any] | None) -> list[tuple[str, Text]]:
    """How the node is reached; nothing for a node that does not ask."""
    if found is None:
        return []
    style = {"reachable": "green", "unreachable": "bold red", "mixed": "yellow"}.get(found["verdict"], "dim")
    lines = [Text(found["summary"], style)]
    for dialer in found["dialers"]:
        outcomes = "; ".join(f"{address} {words}" for address, words in dialer["outcomes"].items())
        beside = ", on its own machine" * dialer["same_machine"]
        place = f"{dialer['peer_id'][:SHORT_HEX]} ({dialer['region'] or 'no region'}{beside})"
        lines.append(Text(f"{place}: {outcomes}, {age(dialer['age_s'])} ago"))
    return [("node reached" if not number else "", line) for number, line in enumerate(lines)]


def _coloured(text: str, style: str | None = None) -> Text:
    return Text(text, STYLES.get(style or text.strip(), ""))


def _region(view: dict[str, Any]) -> Text:
    source = REGION_SOURCES.get(view["region_source"])
    return Text.assemble(view["region"] or "-", (f" ({source})" if source else "", "dim"))


def _word(verdict: str) -> Text:
    return Text(verdict, {"alive": "green", "suspect": "yellow", "down": "bold red"}.get(verdict, ""))


def _verdict(view: dict[str, Any]) -> Text:
    found = _word(view["verdict"])
    if view["accused_by"]:
        found.append(f" ({view['accused_by']} of {view['observers']})", "dim")
    return found


def _is_gone(view: dict[str, Any]) -> bool:
    """Whether the peer is gone, so that its measurements are hidden."""
    return view["status"] in ("down", "left")


def _running(view: dict[str, Any]) -> str:
    """Uptime, or how long the peer has been gone."""
    if _is_gone(view):
        if view.get("gone_age_s") is None:
            return f"no: it is {view['status']}"
        if planned := view.get("planned"):
            return f"no: left {age(view['gone_age_s'])} ago, as planned: {_planned(planned)}"
        event = "left" if view["verdict"] == "left" else "last heard"
        return f"no: {event} {age(view['gone_age_s'])} ago; `peerscope history` has its earlier measurements"
    return age(view.get("uptime_s"))


def _planned(planned: dict[str, Any]) -> str:
    reason: str = planned["reason"]
    if planned["is_overdue"]:
        return f"{reason}; overdue, so it counts as down"
    return reason + ("" if planned["ends_in_s"] is None else f"; back within {age(planned['ends_in_s'])}")


def _clock(skew_s: float | None) -> str:
    if skew_s is None:
        return "agrees with ours within 5 s"
    return f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours"
