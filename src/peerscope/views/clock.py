"""The network's own clock: the median of what its peers' clocks say, as seen from one of them."""

from __future__ import annotations

from statistics import median

from peerscope.mesh.detection import observers
from peerscope.records.identity import ref
from peerscope.views.snapshot import Snapshot


def ahead_of_network_s(snapshot: Snapshot) -> float | None:
    """How far our wall clock is ahead of the median of the clocks around us, in seconds, negative where it is behind;
    None where nobody can tell.

    The median of what our neighbours measured of us by pings and report; before they do, of what we measured of them.
    Fewer than half of them with a wrong clock, or lying, cannot move it beyond what the others say.
    """
    reports = (snapshot.fresh_report(watcher) for watcher in observers.watchers(snapshot.ledger, snapshot.me))
    told = [link.skew_s for report in reports if report for link in report.links if link.peer == ref(snapshot.me)]
    if not told and (own := snapshot.fresh_report(snapshot.me)) is not None:
        told = [-link.skew_s for link in own.links]
    return float(median(told)) if told else None
