"""The words of messages. Texts of other peers are quoted unchanged: each channel escapes them as it needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.alerts.phrases import cause, folded, some, times, verdict
from peerscope.notify.base import Letter
from peerscope.records.alerts import Severity
from peerscope.records.identity import SHORT_HEX

LISTED_MAX = 20
"""Lines about alerts, and names in one line."""


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
    if message.what == "escalated":
        return f"STILL FIRING {message.severity.name.lower()}"
    return f"{'UPDATE' if message.reason == 'update' else 'FIRING'} {message.severity.name.lower()}"


def text(letter: Letter) -> str:
    """The whole message: the cause, the peers concerned, the evidence, the first thing to do, then the alerts."""
    message = letter.message
    group = message.group
    lines = cause_lines(group) if group.incident is not None else []
    lines += [group.description] if group.description else []
    if message.what == "resolved" and group.forgotten:
        lines += forgotten(letter)
    lines += reason_lines(message)
    if group.incident is not None:
        lines += evidence_lines(group)
    if group.incident is not None or len(group.alerts) > 1:
        lines += ["", f"{len(group.alerts)} alerts:", *alert_lines(group.alerts)]
    else:
        lines += [line for alert in group.alerts for line in details(alert.peer_id, alert.region, alert.runbook)]
    lines += ["", f"Began: {when(group.started_at)}"]
    if message.what == "resolved" and group.resolved_at is not None:
        lines.append(f"Ended: {when(group.resolved_at)}")
    lines.append(f"Id: {group.key}")
    if group.url:
        lines.append(f"More: {group.url}")
    lines += ["", f"Network {letter.sender.network}, sent by peer {letter.sender.peer_id[:SHORT_HEX]}."]
    return "\n".join(lines)


def cause_lines(group: NotificationGroup) -> list[str]:
    """The cause, and the peers and regions concerned."""
    others = [(one.kind, one.root, one.probability) for one in group.alternatives]
    lines = [] if group.confidence is None else [verdict(group.incident or "", group.root, group.confidence, others)]
    peers = len({alert.peer_id for alert in group.alerts if alert.peer_id is not None})
    kinds = sorted(folded(group.alerts, lambda alert: alert.rule), key=lambda same: (-len(same), same[0].rule))
    rules = [times(len(same), same[0].rule) for same in kinds]
    lines.append(f"Concerned: {', '.join([f'{peers} peer' + 's' * (peers != 1), *rules])}")
    if group.regions:
        lines.append(f"For this cause critical: region {listed(group.regions)}")
    return lines


def evidence_lines(group: NotificationGroup) -> list[str]:
    """The evidence, the first thing to do, and the earlier identity of an incident."""
    lines = ["", "Evidence:", *(f"- {one}" for one in group.evidence[:LISTED_MAX])] if group.evidence else []
    if group.first_step:
        lines.append(f"Do first: {group.first_step}")
    if group.was is not None and group.was != group.incident:
        lines.append(f"It was reported as {cause(group.was, None)} before.")
    if group.split_from is not None:
        lines.append(f"Its alerts were part of {group.split_from} before.")
    if group.merged:
        lines.append(f"It holds the alerts of {listed(group.merged)} too.")
    return lines


def reason_lines(message: Notification) -> list[str]:
    """Why this message comes now, and which ones it replaces."""
    lines = []
    if message.what == "escalated":
        lines.append(f"Nobody has acknowledged it. This is repetition {message.repeat}.")
    elif message.reason == "update":
        lines.append("This updates an earlier message. Nothing got worse.")
    elif message.reason == "worse":
        lines.append(f"It got worse: it is {message.severity.name.lower()}.")
    elif message.reason == "missed":
        lines.append("No channel took the message that it began. This one arrives after its end.")
    elif message.reason == "lost":
        lines.append("No peer reports it any more. Nobody saw when and how it ended.")
    if message.updates:
        before = "Ends also" if message.what == "resolved" else "Reported before as"
        lines.append(f"{before}: {listed(message.updates)}")
    return lines


def alert_lines(alerts: Iterable[Alert]) -> list[str]:
    """One line for all alerts of one rule in one state, the gravest first, then the newest."""
    ordered = sorted(alerts, key=lambda one: (one.state != "firing", -_severity(one), -one.started_at, one.id))
    kinds = folded(ordered, lambda one: (one.rule, one.title, one.state, one.severity))
    lines = [_line(same) for same in kinds[:LISTED_MAX]]
    more = sum(len(same) for same in kinds[LISTED_MAX:])
    return [*lines, f"- and {more} more"] if more else lines


def _line(same: list[Alert]) -> str:
    first = same[0]
    if len(same) == 1:
        return f"- {_marked(first)}: {first.description}" + (f" ({subject_of(first)})" if first.peer_id else "")
    return f"- {times(len(same), first.rule)}: {_marked(first)}: {some([subject_of(one) for one in same])}"


def subject_of(alert: Alert) -> str:
    """The peer or region that an alert is about, in short."""
    return alert.peer_id[:SHORT_HEX] if alert.peer_id else alert.region or alert.id


def _severity(alert: Alert) -> int:
    return Severity[alert.severity.upper()]


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
    return some(names, LISTED_MAX)


def when(at: float) -> str:
    """A time in the format of RFC 3339, UTC, limited to the years 1970 to 9999."""
    bounded = min(max(at, 0.0), 253_402_300_799.0)
    return datetime.fromtimestamp(bounded, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def colour(letter: Letter) -> str:
    """A colour for channels that show one."""
    if letter.message.what == "resolved":
        return "#616161" if letter.message.group.forgotten else "#2e7d32"
    return "#c62828" if letter.message.severity >= Severity.HIGH else "#ef6c00"
