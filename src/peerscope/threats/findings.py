"""What a detection found, in the one form that people, scripts and alerts read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.model import Alert, ConditionReading
from peerscope.records.alerts import METADATA_MAX, Severity
from peerscope.records.identity import PeerId, ref
from peerscope.threats.signatures import Signature

TYPE = "security-threat"
TITLE_MAX = 64
TEXT_MAX = 160
EVIDENCE_MAX = METADATA_MAX - 2
"""An alert's statement needs room for its type and title."""
FINDINGS_MAX = 128
"""At once; the gravest are kept, the others counted."""

Scope = Literal["own", "network"]


class Finding(Struct, frozen=True):
    """One thing that should not be."""

    id: str
    """Stable while it is the same thing: the detection, and whom it is about."""
    detection: str
    peer_id: str | None
    """Full id of the peer it is about; null where it is about a group."""
    region: str | None
    at: float
    """Unix seconds by our own clock at which it was first seen."""
    severity: str
    """low, medium, high or critical."""
    confidence: float
    """0..1."""
    title: str
    text: str
    """What was found, in numbers."""
    evidence: tuple[tuple[str, str], ...] = ()
    scope: Scope = "own"
    """From a peer's own data, or from what all peers say."""
    group: str = ""
    """An address prefix, a stretch of ids, a key, where it is about one."""
    runbook: str = ""
    """What to do first."""


class FindingView(Finding, frozen=True):
    """The same, as people and scripts read it."""

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
    """A finding about a peer or a group, every text within its bounds; `at` and `region` are for the collector."""
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
    )


def gravest(found: Iterable[Finding], most: int = FINDINGS_MAX) -> list[Finding]:
    """So many findings at most, the worst first."""
    return sorted(found, key=lambda one: (-Severity[one.severity.upper()], -one.confidence, one.id))[:most]


def readings(found: Iterable[Finding]) -> list[ConditionReading]:
    """What the alert rules look at: one reading a finding about others, one a detection about ourselves."""
    told: dict[tuple[str, str], Finding] = {}
    for one in gravest(found):
        told.setdefault((one.detection, _subject(one)), one)
    return [
        ConditionReading(
            value=1.0,
            subject=subject,
            rule=detection,
            text=one.text,
            severity=Severity[one.severity.upper()],
            confidence=one.confidence,
            metadata=one.evidence,
        )
        for (detection, subject), one in told.items()
    ]


def _subject(one: Finding) -> str:
    """Own findings are about the peer that states them; others by id or group."""
    return "" if one.scope == "own" else one.peer_id[:16] if one.peer_id else one.group


def from_alert(alert: Alert) -> Finding:
    """A finding of another peer, as its alert tells it."""
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
        evidence=tuple(sorted(alert.metadata.items())),
        scope="own" if alert.stated_by == (alert.peer_id,) else "network",
        group="" if alert.peer_id else alert.id.removeprefix(f"{alert.rule}-"),
        runbook=alert.runbook,
    )


def plain(text: str, most: int) -> str:
    """Printable, and no longer than that: others refuse a record with anything else."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:most]


def placed(one: Finding, *, at: float, region: str | None) -> Finding:
    """The same finding with when it began and where it is."""
    return replace(one, at=at, region=region)
