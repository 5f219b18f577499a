"""The last report of each peer as rows of the history, with rates since the one before it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from peerscope.history.measures import MeasureKey
from peerscope.history.series import NO_RATES, RATE_S_MIN, Counters, Row, counters, rates, row
from peerscope.records.bodies import Report
from peerscope.records.ledger import Entry
from peerscope.records.measures import Measure, increases


class LastReport(Struct, frozen=True):
    """The last report of a peer, and its counters when rates were last calculated."""

    entry: Entry
    row: Row
    counted: Counters
    counted_at: float
    rates: tuple[float, ...]
    totals: tuple[Measure, ...] = ()
    """Counters that the node names itself, of the same time as `counted`."""
    measures: Mapping[MeasureKey, float] = {}
    """Values that the node names itself."""


def last_report(entry: Entry, before: LastReport | None, node: str) -> LastReport:
    """Read a report, with the rates since the one before it; times are ours, not the peer's. `node`: its kind."""
    report = entry.body
    assert isinstance(report, Report)
    own = report.metrics.measures if report.metrics is not None else ()
    totals = tuple(one for one in own if one.is_counter)
    levels = {
        MeasureKey(node, one.name, one.unit, False): float(one.value)
        for one in own
        if one.value is not None and not one.is_counter
    }
    counted, counted_at = counters(report), entry.heard_at
    speeds: tuple[float, ...] = NO_RATES
    grown: dict[MeasureKey, float] = {}
    if before is not None:
        passed_s = entry.heard_at - before.counted_at
        if passed_s >= RATE_S_MIN:
            speeds = rates(before.counted, counted, passed_s)
            grown = _grown(before.totals, totals, passed_s, node)
        else:
            counted, counted_at, speeds, totals = before.counted, before.counted_at, before.rates, before.totals
            grown = {key: value for key, value in before.measures.items() if key.is_counter}
    return LastReport(entry, row(report, speeds), counted, counted_at, speeds, totals, levels | grown)


def _grown(
    before: tuple[Measure, ...], after: tuple[Measure, ...], seconds: float, node: str
) -> dict[MeasureKey, float]:
    """Increases per second. If one total fell, the node restarted, and all are unknown."""
    old = {(one.name, one.unit): one.value for one in before}
    steps = increases([old.get((one.name, one.unit)) for one in after], [one.value for one in after])
    return {
        MeasureKey(node, one.name, one.unit, True): step / seconds
        for one, step in zip(after, steps, strict=True)
        if step is not None
    }
