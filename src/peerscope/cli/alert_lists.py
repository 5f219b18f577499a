"""Lists of alerts and incidents in the terminal: new and grave first, equal alerts folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from peerscope.alerts.phrases import PEERS_SHOWN, folded, some, times, verdict
from peerscope.cli.text import RANK, SEVERITIES, SHORT_HEX, age, columns

Row = dict[str, Any]
CLOSED = ("resolved", "forgotten", "closed")


def gravest_first(found: Iterable[Row]) -> list[Row]:
    """Alerts or incidents: those that are not over first, then by severity, then the newest."""
    return sorted(found, key=lambda one: (one["state"] in CLOSED, RANK[one["severity"]], -one["started_at"], one["id"]))


def fold(found: Iterable[Row]) -> list[list[Row]]:
    """Equal alerts together, in the order of the first of each: of one rule, severity, state and with equal orders."""
    return folded(
        found,
        lambda one: (
            *(one[name] for name in ("rule", "severity", "title", "state", "silenced_by", "acknowledged_by")),
            bool(one["flapping"]),
            bool(one.get("clearing")),
        ),
    )


def alert_table(found: Iterable[list[Row]]) -> Table:
    """One line for each group of equal alerts. The age is that of the newest."""
    table = columns("severity", "rule", "about", "state", "since", "")
    for same in found:
        one = same[0]
        table.add_row(
            Text(one["severity"], SEVERITIES[one["severity"]]),
            Text(times(len(same), one["rule"])),
            Text(abouts(same)),
            Text(_state(one)),
            Text(age(one.get("resolved_age_s" if one["resolved_at"] is not None else "started_age_s"))),
            Text(remarks(one) if len(same) == 1 else remarks({**one, "confirmed_by": ()}), "dim"),
        )
    return table


def abouts(same: Sequence[Row]) -> str:
    """The first few peers or regions of equal alerts."""
    return some([_about(one) for one in same], PEERS_SHOWN if len(same) < 3 else PEERS_SHOWN - 1)


def causes(incident: Row) -> list[tuple[str, str]]:
    """Names and lines about the cause of an incident. Those of an older agent lack some."""
    alternatives = [(one["kind"], one["root"], one["probability"]) for one in incident.get("alternatives", ())]
    cause = verdict(incident["kind"], incident["root"], incident["confidence"], alternatives)
    rows = [("cause", cause)]
    rows += [("evidence" if place == 0 else "", one) for place, one in enumerate(incident.get("evidence", ()))]
    rows += [("do first", incident["first_step"])] if incident.get("first_step") else []
    rows += [("split from", incident["split_from"])] if incident.get("split_from") else []
    rows += [("holds too", some(incident["merged"]))] if incident.get("merged") else []
    rows += [("was", incident["was"])] if incident.get("was") else []
    return rows


def remarks(one: Row) -> str:
    """Whether it is about to end, its observers, and the orders about it."""
    found = ["over for now"] if one.get("clearing") else []
    if one.get("confirmed_by"):
        found.append(f"seen by {len(one['confirmed_by'])}")
    if one["silenced_by"]:
        found.append(f"silenced {one['silenced_by']}")
    if one["acknowledged_by"]:
        found.append(f"acknowledged by {one['acknowledged_by']}")
    return ", ".join(found)


def _about(alert: Row) -> str:
    if alert["peer_id"]:
        return str(alert["peer_id"][:SHORT_HEX])
    return str(alert["region"] or alert["id"].removeprefix(alert["rule"] + "-"))


def _state(alert: Row) -> str:
    return f"{alert['state']}, flapping" if alert["flapping"] and alert["state"] == "firing" else str(alert["state"])
