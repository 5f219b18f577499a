"""Eclipse: most links of a peer lead to few prefixes, or to peers that came lately (Heilman et al. 2015).

Hashes of ids choose neighbours. So of n links, the number that lead to any chosen set of peers is hypergeometric for
every peer. The test looks at three sets: the young; the prefixes, at most three, with most of the peer's links; the
young in these prefixes. The prefixes are chosen after looking, so the chance is multiplied by the number of choices.
All peers are tested together (Benjamini and Hochberg).

If half of the network is young or behind one prefix, half of every peer's links lead there: that is no eclipse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from math import comb

from msgspec import Struct

from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId, PeerRef
from peerscope.threats.chance import belief, discoveries
from peerscope.threats.findings import Finding, finding
from peerscope.threats.hypergeometric import hypergeometric_tail
from peerscope.threats.peer_ages import KnownPeer
from peerscope.threats.signatures import Signature
from peerscope.views.snapshot import Snapshot

PREFIXES_MAX = 3


class Exposure(Struct, frozen=True):
    """A peer's links, and the suspicious ones among them."""

    peer: PeerId
    links: int
    captured: int
    young: int
    prefixes: tuple[str, ...]
    chance: float

    @property
    def share(self) -> float:
        """Captured links as a share of all."""
        return self.captured / self.links


class Population:
    """Possible neighbours: how many by prefix, and how many of them are young."""

    def __init__(self, members: Sequence[KnownPeer], young_s: float) -> None:
        self.members = {member.peer: member for member in members}
        self._young_s = young_s
        self._all = Counter(member.prefix for member in members)
        self._young = Counter(member.prefix for member in members if self.is_young(member))

    def is_young(self, member: KnownPeer) -> bool:
        """Whether we have known it for less than the window."""
        return member.age_s < self._young_s

    def count(self, prefixes: Set[str] | None, *, young: bool) -> int:
        """Number of peers in these prefixes, or in all."""
        counted = self._young if young else self._all
        return counted.total() if prefixes is None else sum(counted[prefix] for prefix in prefixes)

    def prefixes(self, *, young: bool) -> int:
        """Number of prefixes with such peers."""
        return len(self._young if young else self._all)


def eclipsed(snapshot: Snapshot, members: Sequence[KnownPeer], signature: Signature) -> list[Finding]:
    """Findings about peers whose links are captured."""
    there = Population(members, signature.window_s)
    looked = [around for one in members if (around := surroundings(snapshot, one, there, signature)) is not None]
    shares = discoveries([around.chance for around in looked])
    found = []
    for around, share in zip(looked, shares, strict=True):
        reached = signature.grade(around.share)
        if reached is not None and share <= signature.false_discovery:
            found.append(_finding(around, share, reached[0], signature))
    return found


def surroundings(snapshot: Snapshot, subject: KnownPeer, there: Population, signature: Signature) -> Exposure | None:
    """A peer's links under the least likely of the three sets; None if it has too few."""
    report = snapshot.fresh_report(subject.peer)
    # Hashes choose only ring neighbours; other peers came for an introduction.
    named = (snapshot.ledger.find(PeerRef(link.peer)) for link in report.links if link.watches) if report else ()
    found = (there.members.get(peer) for peer in named if peer is not None and peer != subject.peer)
    links = [member for member in found if member is not None]
    if len(links) < max(1, signature.samples_min):
        return None
    top = Counter(member.prefix for member in links if member.prefix is not None).most_common(PREFIXES_MAX)
    few = {prefix for prefix, count in top if count > 1}
    ways: list[tuple[float, int]] = []
    for young, prefixes in ((True, None), (False, few), (True, few)):
        captured = sum(_fits(member, there, prefixes, young=young) for member in links)
        if captured < signature.samples_min or signature.grade(captured / len(links)) is None:
            continue
        marked = there.count(prefixes, young=young) - _fits(subject, there, prefixes, young=young)
        chance = hypergeometric_tail(captured, len(links), marked, len(there.members) - 1)
        if prefixes is not None:
            chance *= comb(there.prefixes(young=young), len(prefixes))
        ways.append((min(1.0, 3 * chance), captured))  # the best of three ways
    chance, captured = min(ways, default=(1.0, 0))
    return Exposure(subject.peer, len(links), captured, sum(map(there.is_young, links)), tuple(sorted(few)), chance)


def _fits(member: KnownPeer, there: Population, prefixes: Set[str] | None, *, young: bool) -> bool:
    return (not young or there.is_young(member)) and (prefixes is None or member.prefix in prefixes)


def _finding(around: Exposure, share: float, severity: Severity, signature: Signature) -> Finding:
    from_where = f" from {len(around.prefixes)} prefixes" if around.prefixes else ""
    return finding(
        signature,
        around.peer,
        severity=severity,
        confidence=belief(share),
        text=f"{around.captured} of {around.links} links lead to peers{from_where}, {around.young} to young ones",
        evidence=(
            ("captured", around.captured),
            ("links", around.links),
            ("young", around.young),
            ("prefixes", ", ".join(around.prefixes)),
            ("false_discovery", f"{share:.1e}"),
        ),
        scope="network",
    )
