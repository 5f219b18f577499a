"""Incidents in words: the cause, whom it concerns, the evidence, and the first thing to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp

from msgspec import Struct

from peerscope.alerts.choice import RIVAL_FACTOR, Judged
from peerscope.alerts.explanations import LOSS, Explanation, IncidentKind, sort_of
from peerscope.alerts.incident import Alternative
from peerscope.alerts.model import Alert
from peerscope.records.identity import SHORT_HEX

CHANCE = "chance"
TIMES_MAX = 1_000_000
"""Larger ratios say no more to people."""
FIRST_STEPS: dict[IncidentKind, str] = {
    "host": "Look at this machine first: its processes, memory, disk and network. Its peers need nothing of their own.",
    "region-outage": "Check what the peers of this region share: site, provider, power, uplink.",
    "region": "Compare one affected peer with a healthy one of this region: what do the affected ones share?",
    "version": "Compare one affected peer with one of another version. Stop the rollout, or go back.",
    "partition": "Check what the lost peers share: a site, a provider, a cable. They rejoin by themselves.",
    "cascade": "Look at the root first. The others had trouble after it, and only beside peers that had it.",
    "pattern": "Look for what the affected peers share: a job at the same time, a service, a client.",
    "peer-cluster": "Look at this peer: its machine, its node, then its network.",
}


class Said(Struct, frozen=True):
    """The texts of an incident."""

    title: str
    description: str
    evidence: tuple[str, ...]
    first_step: str
    alternatives: tuple[Alternative, ...]


def said_of(judged: Judged, rivals: Sequence[tuple[Explanation | None, float]], alerts: Sequence[Alert]) -> Said:
    """All texts. `rivals`: explanations that are nearly as likely. `alerts`: of the incident, by beginning."""
    found = judged.found
    alternatives = _alternatives(judged, rivals)
    return Said(
        title=_title(found) if not alternatives else _either(found, rivals),
        description=_description(found, alerts),
        evidence=tuple(_evidence(judged)),
        first_step=_first_step(found) if not alternatives else _first_of_all(found),
        alternatives=alternatives,
    )


def _alternatives(judged: Judged, rivals: Sequence[tuple[Explanation | None, float]]) -> tuple[Alternative, ...]:
    """Rivals, and the other roots of a cascade."""
    found, roots = judged.found, judged.found.roots
    close = [
        Alternative(found.kind, peer, round(judged.probability * share, 4))
        for peer, share in roots[1:]
        if share * RIVAL_FACTOR >= roots[0][1]
    ]
    others = [Alternative(one.kind if one else CHANCE, one.root if one else None, round(its, 4)) for one, its in rivals]
    if close or others:
        first = roots[0][1] if roots else 1.0
        close.insert(0, Alternative(found.kind, found.root, round(judged.probability * first, 4)))
    return tuple(sorted((*close, *others), key=lambda one: -one.probability))


def _what(found: Explanation) -> str:
    """The sort of most of its alerts."""
    sorts = Counter(sort_of(alert) for alert in found.alerts)
    return min(sorts, key=lambda sort: (-sorts[sort], sort))


def _title(found: Explanation) -> str:
    peers, root, what = len(found.peers), found.root or "", _what(found)
    says = "are lost" if what == LOSS else f"report {what}"
    match found.kind:
        case "host":
            return f"{_where(root)} {root}: {peers} of {found.of} peers {says}"
        case "region-outage":
            return f"Region {root} is out: {peers} of {found.of} peers are lost"
        case "region":
            return f"Region {root}: {peers} of {found.of} peers {says}"
        case "version":
            return f"Version {root}: {peers} of {found.of} peers {says}"
        case "partition":
            return f"{peers} peers lost together"
        case "cascade":
            return f"{what} spreads from {root[:SHORT_HEX]}: {peers} peers"
        case "pattern":
            return f"{peers} peers are lost" if what == LOSS else f"{what} at {peers} peers"
    return f"Peer {root[:SHORT_HEX]}: {len({alert.rule for alert in found.alerts})} different alerts"


def _where(root: str) -> str:
    """A machine, or the address prefix of a provider: only that one has a length."""
    return "Prefix" if "/" in root else "Machine"


def _either(found: Explanation, rivals: Sequence[tuple[Explanation | None, float]]) -> str:
    """All explanations that are nearly as likely, without a root."""
    causes = [_cause(found)] + [CHANCE if one is None else _cause(one) for one, _ in rivals]
    unique = list(dict.fromkeys(causes))
    text = " or ".join(unique)
    what = _what(found)
    says = "are lost" if what == LOSS else f"report {what}"
    lead = f"Either {text}" if len(unique) > 1 else text[0].upper() + text[1:]
    return f"{lead}: {len(found.peers)} peers {says}"


def _cause(found: Explanation) -> str:
    match found.kind:
        case "host":
            return f"one {_where(found.root or '').lower()} ({found.root})"
        case "region-outage":
            return f"an outage of region {found.root}"
        case "region":
            return f"a cause in region {found.root}"
        case "version":
            return f"version {found.root}"
        case "partition":
            return "a partition"
        case "cascade":
            return "a cascade"
        case "pattern":
            return "one unknown cause"
    return f"trouble of peer {(found.root or '')[:SHORT_HEX]}"


def _first_step(found: Explanation) -> str:
    if found.kind == "host" and "/" in (found.root or ""):
        return "Check what these peers share at their provider: a machine, a switch, an uplink."
    return FIRST_STEPS[found.kind]


def _first_of_all(found: Explanation) -> str:
    first = found.alerts[0].peer_id
    where = f" Begin with {first[:SHORT_HEX]}, which reported first." if first is not None else ""
    return f"The cause is not clear yet. Compare what the affected peers share.{where}"


def _description(found: Explanation, alerts: Sequence[Alert]) -> str:
    """Counts by rule, and over how long they began."""
    rules = Counter(alert.rule for alert in alerts)
    counts = ", ".join(f"{many} {rule}" for rule, many in sorted(rules.items(), key=lambda item: (-item[1], item[0])))
    active = sum(alert.resolved_at is None for alert in alerts)
    gone = sum(alert.state == "forgotten" for alert in alerts)
    over_s = alerts[-1].started_at - alerts[0].started_at
    return f"{counts}; began within {over_s:.0f} s; {active} of {len(alerts)} active" + (
        f", {gone} forgotten." if gone else "."
    )


def _evidence(judged: Judged) -> list[str]:
    """Reasons for it, the strongest first."""
    found, lines = judged.found, list[str]()
    span_s = found.alerts[-1].started_at - found.alerts[0].started_at
    if found.kind in ("host", "region", "region-outage", "version"):
        ours = f"All {found.of}" if len(found.peers) == found.of else f"{len(found.peers)} of {found.of}"
        others = f"{found.elsewhere} other peers" if found.elsewhere > 1 else "one other peer"
        lines.append(f"{ours} peers that share it are affected, and {others if found.elsewhere else 'no other peer'}.")
    if found.kind == "cascade":
        lines.append(
            f"{len(found.tree) - 1} alerts began beside a peer that had one before; "
            f"{found.elsewhere} peers elsewhere have the same alert."
        )
    if found.kind in ("pattern", "partition"):
        lines.append(f"{len(found.peers)} of {max(found.of, len(found.peers))} peers have the same alert.")
    lines.append(f"The alerts began within {span_s:.0f} s.")
    times = exp(min(found.score, 20.0))
    if times >= 2:
        often = f"more than {TIMES_MAX:,}" if times > TIMES_MAX else f"{times:,.0f}"
        lines.append(f"This cause is {often} times likelier than unrelated alerts.")
    rival = next(((one, its) for one, its in judged.rivals if one is not None and its >= 0.01), None)
    if rival is not None:
        lines.append(f"The next explanation is {_cause(rival[0])}: {rival[1]:.0%}.")
    return lines
