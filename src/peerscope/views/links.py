"""The links of the network: what both ends report, merged."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.evidence import Verdict
from peerscope.records.bodies import RATIO_ONE, LinkReading
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.views.moment import Moment


class MeshLink(Struct, frozen=True):
    """One link; `source` has the smaller id."""

    source: str
    target: str
    layer: str
    rtt_s: float | None
    """Mean of what the two ends measured; null where neither did."""
    loss_ratio: float | None
    """The worse of the two ends."""
    estimated: bool = False


def mesh_links(moment: Moment) -> list[MeshLink]:
    """Links that at least one living end with a fresh report lists and whose other end is not gone."""
    gone = {peer for peer in moment.peers if moment.verdict(peer) in (Verdict.DOWN, Verdict.LEFT)}
    ends: dict[tuple[PeerId, PeerId], list[LinkReading]] = {}
    for peer in moment.peers:
        report = moment.fresh_report(peer) if peer not in gone else None
        for reading in report.links if report else ():
            other = moment.ledger.find(PeerRef(reading.peer))
            if other is not None and other != peer and other not in gone:
                ends.setdefault((min(peer, other), max(peer, other)), []).append(reading)
    return [_merged(pair, readings) for pair, readings in sorted(ends.items())]


def link_between(moment: Moment, one: PeerId, other: PeerId) -> MeshLink | None:
    """The link of two peers that both are known, by the same rule as `mesh_links`."""
    if one == other or {moment.verdict(one), moment.verdict(other)} & {Verdict.DOWN, Verdict.LEFT}:
        return None
    readings = [
        reading
        for end, far in ((one, other), (other, one))
        if (report := moment.fresh_report(end)) is not None
        for reading in report.links
        if reading.peer == ref(far)
    ]
    return _merged((min(one, other), max(one, other)), readings) if readings else None


def _merged(pair: tuple[PeerId, PeerId], readings: list[LinkReading]) -> MeshLink:
    rtts = [reading.rtt_us / 1e6 for reading in readings if reading.rtt_us is not None]
    losses = [reading.loss / RATIO_ONE for reading in readings if reading.loss is not None]
    return MeshLink(
        source=pair[0].hex(),
        target=pair[1].hex(),
        layer="mesh",
        rtt_s=sum(rtts) / len(rtts) if rtts else None,
        loss_ratio=max(losses, default=None),
    )
