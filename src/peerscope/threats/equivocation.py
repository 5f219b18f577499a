"""Equivocation, and false accusations: two records with one version, or accusations of peers that others hear.

The two signed records prove an equivocation. All other evidence decides about an accusation. It is false if most other
observers hear the subject, and the subject reported since with a link to the accuser. The accuser must not be down or
cut off itself. One bad link can cause that for one subject. So a finding needs several subjects, or one with many
refuted claims.
"""

from __future__ import annotations

from collections import Counter

from peerscope.mesh.detection import observers, verdicts
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, PeerRef, ref, short
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature
from peerscope.views.snapshot import Snapshot

REPORTED_AFTER_S = 2.0
"""A report this much later than the claim was sent after it."""
REPEATS_MIN = 10
"""Refuted claims about one subject that weigh as much as several subjects."""
HEARERS_MIN = 2
GONE = (Verdict.DOWN, Verdict.PARTITIONED, Verdict.LEFT)
"""A peer that is cut off misses all others, in good faith."""


class Claims:
    """The claims of one accuser about one subject."""

    __slots__ = ("claimed", "contradicted_at", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.contradicted_at: float | None = None
        self.claimed: set[int] = set()
        """Times of last contact in contradicted claims; a few."""


class Accusations:
    """Accusations over time, and which of them were contradicted."""

    def __init__(self) -> None:
        self._claims: dict[tuple[PeerId, PeerId], Claims] = {}

    def find(self, snapshot: Snapshot, signature: Signature) -> list[Finding]:
        """Findings about accusers of peers that others hear."""
        self._look(snapshot, signature.window_s)
        wrong: dict[PeerId, list[tuple[PeerId, int]]] = {}
        for (accuser, subject), claims in self._claims.items():
            if claims.contradicted_at is not None:
                wrong.setdefault(accuser, []).append((subject, len(claims.claimed)))
        found = []
        for accuser, subjects in sorted(wrong.items()):
            repeats = sum(claimed for _, claimed in subjects)
            if len(subjects) >= signature.samples_min or repeats >= REPEATS_MIN:
                found.append(self._finding(snapshot, accuser, subjects, repeats, signature))
        return found

    def _look(self, snapshot: Snapshot, window_s: float) -> None:
        ledger, now = snapshot.ledger, snapshot.now
        standing = set()
        for accuser in sorted(ledger.accusers):
            said = ledger.observations(accuser)
            if said is None or accuser not in snapshot.profiles or snapshot.verdict(accuser) in GONE:
                continue
            for observation in said.lost:
                subject = ledger.find(PeerRef(observation.subject))
                if subject is None or subject == accuser or subject not in snapshot.profiles:
                    continue
                pair = (accuser, subject)
                standing.add(pair)
                claims = self._claims.setdefault(pair, Claims(now))
                if self._is_contradicted(snapshot, accuser, subject, claims.since):
                    claims.contradicted_at = now
                    if len(claims.claimed) < REPEATS_MIN:
                        claims.claimed.add(observation.heard_ms)
        for pair, claims in list(self._claims.items()):
            at = claims.contradicted_at
            if (pair not in standing and at is None) or (at is not None and now - at > window_s):
                del self._claims[pair]

    def _is_contradicted(self, snapshot: Snapshot, accuser: PeerId, subject: PeerId, since: float) -> bool:
        """Whether the subject reported since with that link, and more of its other observers hear it than miss it."""
        ledger, now = snapshot.ledger, snapshot.now
        entry, report = ledger.get(subject, Kind.REPORT), snapshot.fresh_report(subject)
        if entry is None or report is None or entry.heard_at < since + REPORTED_AFTER_S:
            return False
        if all(link.peer != ref(accuser) for link in report.links):
            return False
        votes: Counter[bool] = Counter()
        assessment = verdicts.Assessment(ledger, now)
        for other in assessment.watchers(subject):
            if other == accuser:
                continue
            if assessment.accusation_by(other, subject) is not None:
                votes[False] += 1
            elif observers.hears(ledger, other, subject, now):
                votes[True] += 1
        return votes[True] >= HEARERS_MIN and votes[True] > votes[False]

    def _finding(
        self,
        snapshot: Snapshot,
        accuser: PeerId,
        subjects: list[tuple[PeerId, int]],
        repeats: int,
        signature: Signature,
    ) -> Finding:
        names = ", ".join(short(subject) for subject, _ in sorted(subjects)[:4])
        # Each subject halves the chance that the accuser is honest but in trouble, as do ten refuted claims about one.
        confidence = 1 - 0.5 ** (len(subjects) + repeats / REPEATS_MIN)
        return finding(
            signature,
            accuser,
            confidence=confidence,
            text=f"accuses {len(subjects)} peers that report since and that others hear: {names}",
            evidence=(("subjects", len(subjects)), ("claims_refuted", repeats), ("for_example", names)),
            scope="network",
        )


def equivocations(snapshot: Snapshot, signature: Signature) -> list[Finding]:
    """Findings about peers of which we hold two different records with one version."""
    found_out = {**snapshot.ledger.proofs, **snapshot.global_ledger.proofs}
    proofs = Counter(origin for origin, _, _ in found_out)
    found = []
    for origin, count in sorted(proofs.items()):
        kind, version = min((kind, version) for peer, kind, version in found_out if peer == origin)
        digests = [record.digest().hex()[:16] for record in found_out[origin, kind, version]]
        found.append(
            finding(
                signature,
                origin,
                # The first may come from a copied state directory; many are no accident.
                confidence=1 - 0.1 ** min(count, 9),
                text=f"{count} versions were signed with two contents each",
                evidence=(("proofs", count), ("kind", kind), ("version", version), ("digests", " ".join(digests))),
                scope="network",
            )
        )
    return found
