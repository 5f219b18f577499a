"""The network's own clock: the median of what its peers' clocks say, as seen from one of them."""

from __future__ import annotations

from statistics import median

from peerscope.mesh.detection import observers
from peerscope.records.identity import ref
from peerscope.views.snapshot import Moment


def ahead_of_network_s(moment: Moment) -> float | None:
    """How far our wall clock is ahead of the median of the clocks around us, in seconds, negative where it is behind;
    None where nobody can tell.

    The median of what our neighbours measured of us by pings and report; before they do, of what we measured of them.
    Fewer than half of them with a wrong clock, or lying, cannot move it beyond what the others say.
    """
    reports = (moment.fresh_report(watcher) for watcher in observers.watchers(moment.ledger, moment.me))
    told = [link.skew_s for report in reports if report for link in report.links if link.peer == ref(moment.me)]
    if not told and (own := moment.fresh_report(moment.me)) is not None:
        told = [-link.skew_s for link in own.links]
    return float(median(told)) if told else None
