"""The facts in the metadata of every alert: value, threshold, unit, hold time and beginning.

Their author states them, since an operator may have changed a limit there. So all peers show the same. A unit belongs
to the signal, which all peers know; only for rules and detections of one operator does the author state it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from statistics import median_low

from peerscope.alerts.model import FACTS, ConditionReading, Wording
from peerscope.alerts.rules import MEASURE, Rule
from peerscope.records.alerts import Statement

NUMBER_MAX = 1e14
WHOLE_FROM = 1000
"""From here on four digits show no fraction."""
UNITS = {
    "cpu_ratio": "ratio",
    "memory_ratio": "ratio",
    "storage_ratio": "ratio",
    "network_error_ratio": "ratio",
    "p2p_ratio": "ratio",
    "cpu_status": "status",
    "memory_status": "status",
    "storage_status": "status",
    "network_status": "status",
    "p2p_status": "status",
    "node_status": "status",
    "node_degraded": "condition",
    "linked_peers": "peers",
    "link_rtt_s": "seconds",
    "link_rtt_rise": "times usual",
    "link_loss_ratio": "ratio",
    "relayed_ratio": "ratio",
    "route_p95_s": "seconds",
    "error_ratio": "ratio",
    "throughput_share": "ratio",
    "memory_kills": "processes",
    "agent_lag_s": "seconds",
    "agent_cpu_ratio": "ratio",
    "history_trouble": "condition",
    "export_trouble": "condition",
    "certificate_left_ratio": "ratio",
    "tls_left_ratio": "ratio",
    "peer_down": "condition",
    "partition": "condition",
    "region_critical": "condition",
    "clock_skew_s": "seconds",
    "shared_key": "agents",
    "finding": "condition",
}
"""By signal. A condition is 1 while it holds; a status is 0 healthy, 1 degraded, 2 unhealthy."""


def unit_of(rule: Rule) -> str:
    """The unit of a rule's value and threshold."""
    return rule.unit if rule.signal == MEASURE else UNITS[rule.signal]


def number(value: float | None) -> str | None:
    """A number with four digits, as statements carry it; None if it is unknown or no such number."""
    if value is None or not isfinite(value) or abs(value) > NUMBER_MAX:
        return None
    if abs(value) >= WHOLE_FROM:
        return f"{value:.0f}"
    text = f"{value:.4g}"
    text = text if "e" not in text else f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "-") else text


def finding_numbers(reading: ConditionReading) -> tuple[str | None, str | None]:
    """Value and limit of a finding: those in its evidence, else a condition that holds."""
    evidence = dict(reading.metadata)
    value, limit = (_parsed(evidence.get(name)) for name in ("value", "limit"))
    return (number(1.0), number(0.0)) if value is None or limit is None else (number(value), number(limit))


def carried(said: Statement, usual: Wording) -> Wording:
    """The words in a statement; the usual ones if it brings none."""
    title = dict(said.metadata).get("title")
    if title is None:
        return usual
    return Wording(title, said.runbook or usual.runbook, said.unit or usual.unit)


def merged(agreeing: Iterable[Statement], unit: str, since: float) -> dict[str, str]:
    """The facts on which these authors agree: the lower median of each, so no single author sets it.

    `since`: Unix seconds.
    """
    said = list(agreeing)
    held_ms = [one.for_ms for one in said if one.for_ms is not None]
    found = {
        "value": _middle(one.value for one in said),
        "threshold": _middle(one.threshold for one in said),
        "unit": unit,
        "for_s": f"{median_low(held_ms) / 1000:g}" if held_ms else None,
        "since": _utc(since),
    }
    return {name: text for name, text in found.items() if text is not None}


def evidence_in(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata without the facts that every alert has. A detection of a number gives its value as evidence too."""
    has_number = "window_s" in metadata
    return {name: text for name, text in metadata.items() if name not in FACTS or (has_number and name == "value")}


def _middle(numbers: Iterable[str | None]) -> str | None:
    known = sorted((text for text in numbers if text is not None), key=lambda text: (float(text), text))
    return known[(len(known) - 1) // 2] if known else None


def _parsed(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None


def _utc(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "in another age"
