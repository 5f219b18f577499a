"""A peer surrounded: most of its links lead to few prefixes, or to peers that came of late (Heilman et al. 2015).

Neighbours are drawn by hashing ids, so that of n links the number that lead to any chosen set of peers is
hypergeometric, whoever the peer is. Three sets are looked at: the young; the (at most three) prefixes that hold the
most of the peer's links; the young in such prefixes. Prefixes were chosen after looking, which is paid for by the
number of choices there were. All peers are judged together (Benjamini and Hochberg).

Where half of the network is young or behind one prefix, half of everybody's links lead there: no eclipse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import comb

from msgspec import Struct

from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId, PeerRef
from peerscope.threats.acquaintance import Member
from peerscope.threats.chance import belief, discoveries, hypergeometric_tail
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature
from peerscope.views.moment import Moment

PREFIXES_MAX = 3
"""Few."""


class Surroundings(Struct, frozen=True):
    """The suspicious ones among a peer's links."""

    peer: PeerId
    links: int
    captured: int
    young: int
    prefixes: tuple[str, ...]
    chance: float

    @property
    def share(self) -> float:
        """Of all links."""
        return self.captured / self.links


def eclipsed(moment: Moment, members: Sequence[Member], signature: Signature) -> list[Finding]:
    """Peers whose links are captured."""
    here = {member.peer: member for member in members}
    looked = [
        around for member in members if (around := surroundings(moment, member.peer, here, signature)) is not None
    ]
    shares = discoveries([around.chance for around in looked])
    found = []
    for around, share in zip(looked, shares, strict=True):
        reached = signature.grade(around.share)
        if reached is not None and share <= signature.false_discovery:
            found.append(_finding(around, share, reached[0], signature))
    return found


def surroundings(moment: Moment, peer: PeerId, here: dict[PeerId, Member], signature: Signature) -> Surroundings | None:
    """A peer's links, the least likely way of looking at them; None where it has too few."""
    report = moment.fresh_report(peer)
    # Only ring neighbours are drawn by hashing; others came to ask for an introduction.
    found = (moment.ledger.find(PeerRef(link.peer)) for link in report.links if link.watches) if report else ()
    links = [here[other] for other in found if other is not None and other in here and other != peer]
    if len(links) < max(1, signature.samples_min):
        return None
    top = Counter(member.prefix for member in links if member.prefix is not None).most_common(PREFIXES_MAX)
    few = {prefix for prefix, count in top if count > 1}
    ways: list[tuple[float, int]] = []
    for needs_young, needs_prefix in ((True, False), (False, True), (True, True)):

        def fits(member: Member, young: bool = needs_young, prefix: bool = needs_prefix) -> bool:
            return (not young or member.age_s < signature.window_s) and (not prefix or member.prefix in few)

        captured = sum(map(fits, links))
        if captured < signature.samples_min or signature.grade(captured / len(links)) is None:
            continue
        others = [member for member in here.values() if member.peer != peer]
        chance = hypergeometric_tail(captured, len(links), sum(map(fits, others)), len(others))
        if needs_prefix:
            choices = {m.prefix for m in others if m.prefix and (not needs_young or m.age_s < signature.window_s)}
            chance *= comb(len(choices), len(few))
        ways.append((min(1.0, 3 * chance), captured))  # the best of three ways
    chance, captured = min(ways, default=(1.0, 0))
    young = sum(member.age_s < signature.window_s for member in links)
    return Surroundings(peer, len(links), captured, young, tuple(sorted(few)), chance)


def _finding(around: Surroundings, share: float, severity: Severity, signature: Signature) -> Finding:
    from_where = f" from {len(around.prefixes)} prefixes" if around.prefixes else ""
    return finding(
        signature.name,
        around.peer,
        severity=severity,
        confidence=belief(share),
        title=signature.title,
        text=f"{around.captured} of {around.links} links lead to peers{from_where}, {around.young} to young ones",
        evidence=(
            ("captured", around.captured),
            ("links", around.links),
            ("young", around.young),
            ("prefixes", ", ".join(around.prefixes)),
            ("false_discovery", f"{share:.1e}"),
        ),
        scope="network",
        runbook=signature.runbook,
    )
