"""Findings of detections, in the one form that people, scripts and alerts read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.facts import evidence_in
from peerscope.alerts.model import Alert, ConditionReading, Wording
from peerscope.records.alerts import METADATA_MAX, Severity
from peerscope.records.identity import PeerId, ref
from peerscope.threats.signatures import Signature, packaged_wordings

TYPE = "security-threat"
TITLE_MAX = 64
TEXT_MAX = 160
EVIDENCE_MAX = METADATA_MAX - 2
"""The statement of an alert also holds its type and title."""
FINDINGS_MAX = 128
"""At one time; the gravest are kept."""

Scope = Literal["own", "network"]


class Finding(Struct, frozen=True):
    """One finding of a detection."""

    id: str
    """Detection and subject: stable while it lasts."""
    detection: str
    peer_id: str | None
    """Full id of the peer that it is about; null if it is about a group."""
    region: str | None
    at: float
    """First seen, in Unix seconds by our own clock."""
    severity: str
    """low, medium, high or critical."""
    confidence: float
    """0..1."""
    title: str
    text: str
    """The finding in numbers."""
    evidence: tuple[tuple[str, str], ...] = ()
    scope: Scope = "own"
    """From a peer's own data, or from the records of all peers."""
    group: str = ""
    """An address prefix, a range of ids or a key, if it is about one."""
    runbook: str = ""
    """The first things to do."""
    unit: str = ""
    """Unit of the value and the limit in its evidence."""


class FindingView(Finding, frozen=True):
    """A finding with its age."""

    age_s: float | None = None


def finding(
    signature: Signature,
    subject: PeerId | str,
    *,
    confidence: float,
    text: str,
    severity: Severity | None = None,
    evidence: Iterable[tuple[str, object]] = (),
    scope: Scope = "own",
) -> Finding:
    """A finding about a peer or a group, with every text within its bounds. `placed` adds `at` and `region`."""
    is_peer = isinstance(subject, bytes)
    name = ref(subject).hex() if isinstance(subject, bytes) else plain(subject, 48)
    return Finding(
        id=f"{signature.name}-{name}" if name else signature.name,
        detection=signature.name,
        peer_id=subject.hex() if isinstance(subject, bytes) else None,
        region=None,
        at=0.0,
        severity=signature.severity if severity is None else severity.name.lower(),
        confidence=min(1.0, max(0.0, confidence)),
        title=plain(signature.title, TITLE_MAX),
        text=plain(text, TEXT_MAX),
        evidence=tuple((plain(name, 64), plain(str(value), 64)) for name, value in evidence)[:EVIDENCE_MAX],
        scope=scope,
        group="" if is_peer else name,
        runbook=signature.runbook,
        unit=signature.unit,
    )


def gravest(found: Iterable[Finding], most: int = FINDINGS_MAX) -> list[Finding]:
    """At most this many findings, worst first."""
    return sorted(found, key=lambda one: (-Severity[one.severity.upper()], -one.confidence, one.id))[:most]


def readings(found: Iterable[Finding]) -> list[ConditionReading]:
    """Readings for alert rules: one per finding about others, one per detection about ourselves."""
    by_subject: dict[tuple[str, str], Finding] = {}
    for one in gravest(found):
        by_subject.setdefault((one.detection, _subject(one)), one)
    return [
        ConditionReading(
            value=1.0,
            subject=subject,
            rule=detection,
            text=one.text,
            severity=Severity[one.severity.upper()],
            confidence=one.confidence,
            metadata=one.evidence,
            wording=_wording(one),
        )
        for (detection, subject), one in by_subject.items()
    ]


def _wording(one: Finding) -> Wording | None:
    """The words of a detection that other peers do not have, or have under other words."""
    words = Wording(one.title, one.runbook, one.unit)
    return None if packaged_wordings().get(one.detection) == words else words


def _subject(one: Finding) -> str:
    """Subject of the reading: empty for own findings, else id or group."""
    return "" if one.scope == "own" else one.peer_id[:16] if one.peer_id else one.group


def from_alert(alert: Alert) -> Finding:
    """The finding of another peer, from its alert."""
    return Finding(
        id=alert.id,
        detection=alert.rule,
        peer_id=alert.peer_id,
        region=alert.region,
        at=alert.started_at,
        severity=alert.severity,
        confidence=alert.confidence or 0.0,
        title=alert.title,
        text=alert.description,
        evidence=tuple(sorted(evidence_in(alert.metadata).items())),
        scope="own" if alert.stated_by == (alert.peer_id,) else "network",
        group="" if alert.peer_id else alert.id.removeprefix(f"{alert.rule}-"),
        runbook=alert.runbook,
        unit=alert.metadata.get("unit", ""),
    )


def plain(text: str, most: int) -> str:
    """Printable text within the limit: others refuse a record with anything else."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:most]


def placed(one: Finding, *, at: float, region: str | None) -> Finding:
    """The finding with its beginning and region."""
    return replace(one, at=at, region=region)
