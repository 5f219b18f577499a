"""The bounds of a scenario, held against the results of a run."""

from __future__ import annotations

from collections.abc import Iterable

from peerscope.sim.outcome import Outcome
from peerscope.sim.scenario import Bounds, Scenario
from peerscope.sim.zones_seen import ZoneOutcome


def failures(scenario: Scenario, outcome: Outcome, mistake: str) -> Iterable[str]:
    """Each broken bound in a sentence. `mistake`: of those that do not see what is the case at the end."""
    zones = outcome.zones
    bounds, detection, crawl, error = scenario.bounds, outcome.detection, outcome.crawl, outcome.coordinate_error
    alerts = outcome.alerts
    checks = (
        ("suspect, median", detection["suspect"].median_s, bounds.suspect_median_s),
        ("down, median", detection["down"].median_s, bounds.down_median_s),
        ("down, slowest", detection["down"].max_s, bounds.down_max_s),
        ("living peers called down", outcome.false_down, bounds.false_down),
        ("dead peers never called down", detection["down"].missed, bounds.missed),
        ("share of looks that call a living peer down", outcome.down_share_alive, bounds.down_share_alive),
        ("seconds until all agreed", outcome.convergence_s, bounds.convergence_s),
        ("redundancy", outcome.redundancy, bounds.redundancy),
        ("offences", outcome.offences, bounds.offences),
        ("seconds of the crawl", crawl.seconds if crawl else None, bounds.crawl_s),
        ("honest peers the crawl missed", crawl.missed if crawl else None, bounds.crawl_missed),
        ("error of the count of all peers", zones.error_ratio if zones else None, bounds.zone_error_ratio),
        ("the same, at its worst", zones.error_ratio_max if zones else None, _worst_allowed(zones, bounds)),
        ("peers that do not name an aggregator that lies", zones.unnamed if zones else None, bounds.unnamed),
        ("age of summaries, 99 %", zones.age_p99_s if zones else None, bounds.summary_age_s),
        ("incidents", None if outcome.incidents is None else len(outcome.incidents), bounds.incidents),
        ("roots not found, or not by both survivors", _wrong(outcome), bounds.root_wrong),
        ("peers that see other alerts than most", alerts.disagreeing if alerts else None, bounds.disagreeing),
        ("share of attacks missed", None if outcome.recall is None else 1 - outcome.recall, bounds.attacks_missed),
        ("false alarms", outcome.false_alarms, bounds.false_alarms),
        ("relative error of coordinates, median", error.median if error else None, bounds.coordinate_error),
    )
    for name, value, most in checks:
        if value is not None and most is not None and value > most:
            yield f"{name}: {value:.2f}, at most {most} allowed"
    if zones and bounds.zones not in (None, zones.count):
        yield f"zones at the end: {zones.count}, wanted {bounds.zones}"
    if zones and bounds.zones_exact_s is not None and (zones.exact_s is None or zones.exact_s > bounds.zones_exact_s):
        found = "never" if zones.exact_s is None else f"{zones.exact_s:.1f}"
        yield f"seconds until everybody counted right: {found}, at most {bounds.zones_exact_s} allowed"
    if alerts and bounds.alerts is not None:
        if alerts.active != bounds.alerts:
            yield f"alerts that fire at the end: {alerts.active}, wanted {bounds.alerts}"
        if alerts.ids > sum(bounds.alerts.values()):
            yield f"alerts that ever fired: {alerts.ids}, wanted {sum(bounds.alerts.values())}"
    if mistake:
        yield f"not everybody sees what is the case at the end: {mistake}"


def _wrong(outcome: Outcome) -> int | None:
    return None if outcome.root_right is None else int(not (outcome.root_right and outcome.incidents_agreed))


def _worst_allowed(zones: ZoneOutcome | None, bounds: Bounds) -> float | None:
    """In small networks two deaths that nobody could notice yet are more than any share."""
    ratio = bounds.zone_error_ratio_max
    return ratio if zones is None or ratio is None else max(ratio, 2 / zones.living)
