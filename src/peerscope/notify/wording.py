"""The words of messages. Texts of other peers are quoted unchanged: each channel escapes them as it needs."""

from __future__ import annotations

from datetime import UTC, datetime

from peerscope.alerts.model import Alert
from peerscope.notify.base import Letter
from peerscope.records.alerts import Severity

LISTED_MAX = 20
"""Alerts to list one by one."""


def subject(letter: Letter) -> str:
    """One line without control characters."""
    message = letter.message
    title = " ".join("".join(c if c.isprintable() else " " for c in message.group.title).split())
    return f"[{state(letter)}] {title}"[:200]


def state(letter: Letter) -> str:
    """The state of the group, in one to three words."""
    message = letter.message
    if message.what == "resolved":
        if message.group.forgotten:
            return "FORGOTTEN"
        return "NO LONGER REPORTED" if message.reason == "lost" else "RESOLVED"
    still = "STILL FIRING" if message.what == "escalated" else "FIRING"
    return f"{still} {message.severity.name.lower()}"


def text(letter: Letter) -> str:
    """The whole message, with the most important part first."""
    message = letter.message
    group = message.group
    lines = [group.description] if group.description else []
    if message.what == "resolved" and group.forgotten:
        lines += forgotten(letter)
    if message.what == "escalated":
        lines.append(f"Nobody has acknowledged it. This is repetition {message.repeat}.")
    elif message.reason == "worse":
        lines.append(f"It got worse: it is {message.severity.name.lower()}.")
    elif message.reason == "missed":
        lines.append("No channel took the message that it began. This one arrives after its end.")
    elif message.reason == "lost":
        lines.append("No peer reports it any more. Nobody saw when and how it ended.")
    if message.updates:
        lines.append(
            f"{'Ends also' if message.what == 'resolved' else 'Reported before as'}: {listed(message.updates)}"
        )
    if group.root:
        lines.append(f"Probable root: {group.root}")
    if group.incident is not None or len(group.alerts) > 1:
        lines += ["", f"{len(group.alerts)} alerts:"]
        lines += [f"- {_marked(alert)}: {alert.description}" for alert in group.alerts[:LISTED_MAX]]
        if len(group.alerts) > LISTED_MAX:
            lines.append(f"- and {len(group.alerts) - LISTED_MAX} more")
    else:
        lines += [line for alert in group.alerts for line in details(alert.peer_id, alert.region, alert.runbook)]
    lines += ["", f"Began: {when(group.started_at)}"]
    if message.what == "resolved" and group.resolved_at is not None:
        lines.append(f"Ended: {when(group.resolved_at)}")
    lines.append(f"Id: {group.key}")
    if group.url:
        lines.append(f"More: {group.url}")
    lines += ["", f"Network {letter.sender.network}, sent by peer {letter.sender.peer_id[:10]}."]
    return "\n".join(lines)


def forgotten(letter: Letter) -> list[str]:
    """Explain that this end is no recovery."""
    gone = sum(alert.state == "forgotten" for alert in letter.message.group.alerts)
    if gone == 1 and len(letter.message.group.alerts) == 1:
        return ["This is over because the network has forgotten it: it never came back."]
    return [f"{gone} of these alerts ended because the network has forgotten their peers: they never came back."]


def _marked(alert: Alert) -> str:
    return f"{alert.title} (forgotten)" if alert.state == "forgotten" else alert.title


def details(peer_id: str | None, region: str | None, runbook: str) -> list[str]:
    """Known details of one alert, one per line."""
    named = (("Peer", peer_id), ("Region", region), ("Look first at", runbook))
    return [f"{name}: {value}" for name, value in named if value]


def listed(names: tuple[str, ...]) -> str:
    """The first names, and the number of the others."""
    more = len(names) - LISTED_MAX
    return ", ".join(names[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def when(at: float) -> str:
    """A time in the format of RFC 3339, UTC, limited to the years 1970 to 9999."""
    bounded = min(max(at, 0.0), 253_402_300_799.0)
    return datetime.fromtimestamp(bounded, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def colour(letter: Letter) -> str:
    """A colour for channels that show one."""
    if letter.message.what == "resolved":
        return "#616161" if letter.message.group.forgotten else "#2e7d32"
    return "#c62828" if letter.message.severity >= Severity.HIGH else "#ef6c00"
