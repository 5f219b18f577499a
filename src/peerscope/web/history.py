"""Routes of series over time and of the last hour's replay."""

from __future__ import annotations

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.alerts.alert_views import PastAlert, fired_since
from peerscope.errors import HistoryError
from peerscope.history.measures import STATISTICS, measure_series
from peerscope.history.reader import SPAN_S_MAX, History, Question, series_named, span_s
from peerscope.history.recorder import Recorder
from peerscope.history.series import SERIES
from peerscope.host.numbers import whole
from peerscope.records.identity import PeerId
from peerscope.views.timeline import Replay
from peerscope.web.answers import answer, find_peer, monitor_of
from peerscope.web.openapi import ApiRoute

SINCE_DEFAULT = "1h"
METRIC_DEFAULT = "status"


class MetricDescription(Struct, frozen=True):
    """A series of the history."""

    name: str
    unit: str
    scope: str
    """peer: one series per peer; network: one series of the whole network."""
    description: str


async def history(request: Request) -> Response:
    """One series over time: of `peer` (by default this one) or of the network.

    `since`: 90s, 15m, 1h, 30d or Unix seconds. `step`: the finest resolution.
    """
    query = request.query_params
    recorder = recorder_of(request)
    try:
        series = series_named(query.get("metric", METRIC_DEFAULT))
    except HistoryError as error:
        raise HTTPException(404, str(error)) from None
    peer = await kept_peer(request, recorder, query.get("peer"))
    if series.scope == "network" and peer is not None:
        raise HTTPException(400, f"{series.name} is of the whole network; ask for it without a peer")
    now = int(monitor_of(request).snapshot().wall)
    question = Question(
        series,
        monitor_of(request).peer.me if series.scope == "peer" and peer is None else peer,
        since=since_s(query.get("since", SINCE_DEFAULT), now),
        until=now,
        step_s=_seconds(query["step"], "step") if "step" in query else None,
    )
    try:
        return answer(await recorder.read(question))
    except HistoryError as error:
        raise HTTPException(503, str(error)) from None


async def history_metrics(request: Request) -> Response:
    """All series of the history: fixed ones, then those of what nodes name themselves now."""
    found = [MetricDescription(series.name, series.unit, series.scope, series.text) for series in SERIES.values()]
    recorder = monitor_of(request).recorder
    for key in sorted(recorder.measures) if recorder is not None else ():
        for prefix in ("measure", *(f"measure_{statistic}" for statistic in STATISTICS)):
            series = measure_series(f"{prefix}:{key.name}@{key.node}")
            if series is not None:
                found.append(MetricDescription(series.name, key.shown_unit, series.scope, series.text))
    return answer(found)


def recorder_of(request: Request) -> Recorder:
    recorder = monitor_of(request).recorder
    if recorder is None:
        raise HTTPException(404, "this agent keeps no history: history.enabled is false in its settings")
    return recorder


async def kept_peer(request: Request, recorder: Recorder, name: str | None) -> PeerId | None:
    """Find a peer in the ledger or in the history."""
    if name is None:
        return None
    try:
        return find_peer(request, name)
    except HTTPException as refusal:
        if refusal.status_code != 404:
            raise
        try:
            found = await recorder.find(name)
        except HistoryError:
            found = []
        if len(found) != 1:
            raise
        return found[0]


def since_s(text: str, now: int) -> int:
    """Parse a time in Unix seconds or as a duration before `now`. Raises 400."""
    at = whole(text)
    since = now - _seconds(text, "since") if at is None else at
    if not now - SPAN_S_MAX <= since <= now:
        raise HTTPException(400, f"since is {text[:32]!r}; must lie in the last ten years")
    return since


def _seconds(text: str, name: str) -> int:
    seconds = span_s(text)
    if seconds is None:
        or_time = " or Unix seconds" if name == "since" else ""
        raise HTTPException(400, f"{name} is {text[:32]!r}; must be as 90s, 15m, 1h or 30d{or_time}")
    return seconds


class LastHour(Replay, frozen=True):
    """Statuses and links, with the alerts that fired in this time."""

    alerts: tuple[PastAlert, ...] = ()


async def replay(request: Request) -> Response:
    """Statuses, links and alerts `since` a time, at most one hour ago: the state then, and every later change."""
    monitor = monitor_of(request)
    since = since_s(request.query_params.get("since", SINCE_DEFAULT), int(monitor.snapshot().wall))
    found = monitor.replay(since)
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return answer(LastHour(**fields, alerts=fired_since(monitor.alerts(), found.since)))


ROUTES = [
    ApiRoute("/api/v1/history", history, History, query=("metric", "peer", "since", "step")),
    ApiRoute("/api/v1/history/metrics", history_metrics, list[MetricDescription]),
    ApiRoute("/api/v1/replay", replay, LastHour, query=("since",)),
]
