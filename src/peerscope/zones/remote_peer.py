"""A peer of another zone for people: its own signed records, with the verdict of its aggregators.

Verdicts are steps of one scale: alive, suspect, down. Three aggregators have equal ledgers except for records on their
way, so honest ones are at most one step apart, for a moment. The median counts, and views name aggregators two steps
from it. If only two answer and contradict each other, the verdict is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.messages import Opinion
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import LinkReading
from peerscope.records.identity import PeerId
from peerscope.views.evidence import EvidenceView, arithmetic
from peerscope.views.peers import Hearsay, LinkView, PeerView, gone, peer_view
from peerscope.views.snapshot import Snapshot, SnapshotConfig

UNKNOWN = "unknown"
"""In place of a verdict."""
STEPS = (Verdict.ALIVE.value, Verdict.SUSPECT.value, Verdict.DOWN.value)


class Judgement(Struct, frozen=True):
    """The common verdict of aggregators."""

    verdict: str
    opinion: Opinion | None
    """The answer of one that agrees; None if none does."""
    disagreeing: tuple[PeerId, ...]
    """Aggregators that the others contradict."""


def judged(opinions: Mapping[PeerId, Opinion | None]) -> Judgement:
    """Find the median verdict. An aggregator that does not know the peer (None) has no vote, but disagrees if most
    know it."""
    steps = {
        peer: STEPS.index(opinion.verdict)
        for peer, opinion in sorted(opinions.items())
        if opinion is not None and opinion.verdict in STEPS
    }
    order = sorted(steps.values())
    if not order or (len(order) == 2 and order[1] - order[0] > 1):
        return Judgement(UNKNOWN, None, ())
    middle = order[len(order) // 2]  # the graver one of two, as an early sign
    agreeing = [peer for peer in steps if steps[peer] == middle]
    far = [peer for peer in steps if abs(steps[peer] - middle) > 1]
    strangers = [peer for peer in opinions if opinions[peer] is None]
    if len(strangers) < len(steps):
        far += strangers
    return Judgement(STEPS[middle], opinions[agreeing[0]], tuple(sorted(far)))


class RemotePeer:
    """One peer of another zone."""

    def __init__(
        self, answer: LookupAnswer, peer: PeerId, now: float, *, wall_offset_s: float, down_after_s: float
    ) -> None:
        """`now`: local monotonic seconds. Raises KeyError unless the peer is in the answer's ledger."""
        self._snapshot = Snapshot(
            answer.ledger, peer, now, SnapshotConfig(wall_offset_s=wall_offset_s, down_after_s=down_after_s)
        )
        self._peer = peer
        self._opinions = answer.opinions[peer]
        self._judgement = judged(self._opinions)
        has_left = self._snapshot.verdict(peer) is Verdict.LEFT
        if has_left:  # by its own record, which its zone may not have yet
            self._judgement = Judgement(Verdict.LEFT.value, None, ())
        self._silent = answer.silent.get(self._snapshot.zone, ())

    def hearsay(self) -> Hearsay:
        """Sources of the verdict."""
        verdicts = {
            peer.hex(): opinion.verdict if opinion else None for peer, opinion in sorted(self._opinions.items())
        }
        return Hearsay(
            zone=self._snapshot.zone,
            said=verdicts,
            disagreeing=tuple(peer.hex() for peer in self._judgement.disagreeing),
            silent=tuple(peer.hex() for peer in self._silent),
        )

    def view(self) -> PeerView:
        """The same view as for a peer of our own zone, with the verdict of its aggregators."""
        verdict, opinion, own = self._judgement.verdict, self._judgement.opinion, peer_view(self._snapshot, self._peer)
        report = self._snapshot.fresh_report(self._peer)
        is_down = verdict == Verdict.DOWN
        if is_down:
            own = gone(own)
        return replace(
            own,
            verdict=verdict,
            status="down" if is_down else UNKNOWN if verdict == UNKNOWN else self._snapshot.statuses[self._peer],
            links=() if report is None or is_down else tuple(_link(link) for link in report.links),
            accused_by=opinion.accused_by if opinion else 0,
            observers=opinion.observers if opinion else 0,
        )

    def evidence(self) -> EvidenceView:
        """The quorum by one aggregator that agrees. Only its own zone knows the accusers."""
        opinion = self._judgement.opinion
        return EvidenceView(
            peer_id=self._peer.hex(),
            verdict=self._judgement.verdict,
            observers=(),
            quorum=opinion.quorum if opinion else 0,
            accusations=(),
            heard_by=(),
            arithmetic=self._arithmetic(opinion),
            hearsay=self.hearsay(),
        )

    def _arithmetic(self, opinion: Opinion | None) -> str:
        if opinion is not None:
            return arithmetic(opinion.accusing, opinion.voices, opinion.observers, opinion.quorum)
        if self._judgement.verdict == Verdict.LEFT:
            return "it said goodbye"
        return (
            "the aggregators of its zone contradict each other"
            if self._opinions
            else "no aggregator of its zone answered"
        )


def _link(link: LinkReading) -> LinkView:
    """A link with the first sixteen digits of the neighbour's id, which is all that is known here."""
    return LinkView(link.peer.hex(), link.rtt_s, link.loss_ratio)
