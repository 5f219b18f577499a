"""Routes of alerts, incidents and the orders of operators about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.alerts.alert_views import (
    AcknowledgementView,
    AlertView,
    ForgottenView,
    IncidentView,
    SilenceView,
    silence_view,
)
from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import FOR_S_MAX, refusal
from peerscope.errors import ConfigError
from peerscope.notify.schedule import SilenceTimes
from peerscope.records.alerts import MATCHERS_MAX, Severity
from peerscope.records.identity import PeerId
from peerscope.views.ages import aged
from peerscope.web.answers import answer, choice, find_peer, monitor_of, page
from peerscope.web.openapi import ApiRoute, Body
from peerscope.zones.whole import ZoneHeadline

OVER = ("resolved", "forgotten")
STATES = ("firing", *OVER, "ended")
"""`ended`: resolved or forgotten."""
SEVERITIES = tuple(severity.name.lower() for severity in Severity)
NO_YES = ("0", "1")
AUTHOR = "api"
"""Author of an order that names none."""


class Named(Protocol):
    """An object with an id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Struct)
N = TypeVar("N", bound=Named)


class IncidentDetail(IncidentView, frozen=True, kw_only=True):
    """One incident with its alerts."""

    members: tuple[AlertView, ...]
    """The oldest first."""


class SilenceOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to silence the alerts that fit all matchers."""

    matchers: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(min_length=1, max_length=MATCHERS_MAX)]
    """Each is "FIELD=VALUE", where `*` stands for any text: "rule=cpu-*", "peer=3f2a9c04d1"."""
    for_s: Annotated[float, Meta(ge=1, le=FOR_S_MAX)]
    reason: Annotated[str, Meta(min_length=1, max_length=160)]
    author: Annotated[str, Meta(min_length=1, max_length=64)] = AUTHOR
    begin: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    """When it begins: "02:30" (the next), "2026-12-01T02:30", either in `zone`; or with an offset, or Unix seconds."""
    rrule: Annotated[str, Meta(min_length=1, max_length=160)] | None = None
    """Rule of RFC 5545 by which it repeats: "FREQ=WEEKLY;BYDAY=SU"."""
    zone: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """IANA name of the time zone of `begin` and `rrule`; UTC if it is not given."""


class AcknowledgementOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to acknowledge an alert or incident."""

    key: Annotated[str, Meta(min_length=1, max_length=160)]
    """Id of an active alert or an open incident, or an unambiguous beginning of it."""
    author: Annotated[str, Meta(min_length=1, max_length=64)] = AUTHOR
    reason: Annotated[str, Meta(max_length=160)] = ""


class ForgetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to forget a peer that is gone for good."""

    peer: Annotated[str, Meta(min_length=1, max_length=64)]
    """Its id, or an unambiguous beginning of it."""
    force: bool = False
    """Forget it even if it is alive. Its next record brings it back."""
    author: Annotated[str, Meta(min_length=1, max_length=64)] = AUTHOR
    reason: Annotated[str, Meta(max_length=160)] = ""


class Lifted(Struct, frozen=True):
    """The end of an order."""

    id: str
    lifted: bool
    """False if the order had already expired."""


async def alerts(request: Request) -> Response:
    """Active alerts of the whole network, by id; with `all=1` or another `state` also those that ended within a day."""
    query = request.query_params
    everything, state = choice(request, "all", NO_YES) == "1", choice(request, "state", STATES)
    severity = choice(request, "severity", SEVERITIES)
    peer = find_peer(request, query["peer"]).hex() if "peer" in query else None
    found = [
        one
        for one in monitor_of(request).alerts(active_only=not everything and state in (None, "firing"))
        if (state in (None, one.state) or (state == "ended" and one.state in OVER))
        and severity in (None, one.severity)
        and peer in (None, one.peer_id)
        and all(query.get(field) in (None, getattr(one, field)) for field in ("type", "rule", "region"))
    ]
    return page(request, sorted(_aged(request, AlertView, found), key=lambda one: one.id), lambda one: one.id)


async def alert(request: Request) -> Response:
    """One alert, active or ended within a day."""
    found = _one(monitor_of(request).alerts(), request.path_params["name"], "alert")
    return answer(aged(AlertView, found, monitor_of(request).snapshot().wall))


async def incidents(request: Request) -> Response:
    """Open incidents, by id; with `all=1` also those that closed within a day."""
    everything = choice(request, "all", NO_YES) == "1"
    found = [one for one in monitor_of(request).incidents() if everything or one.state == "open"]
    return page(request, sorted(_aged(request, IncidentView, found), key=lambda one: one.id), lambda one: one.id)


async def incident(request: Request) -> Response:
    """One incident with its alerts, and with the tree of a cascade."""
    monitor = monitor_of(request)
    found = _one(monitor.incidents(), request.path_params["name"], "incident")
    by_id = {one.id: one for one in monitor.alerts()}
    members = _aged(request, AlertView, (by_id[name] for name in found.alerts if name in by_id))
    shown = aged(IncidentView, found, monitor.snapshot().wall)
    fields = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return answer(IncidentDetail(**fields, members=tuple(members)))


async def silences(request: Request) -> Response:
    """Silences of the whole network that hold now or later, by id."""
    orders, wall = monitor_of(request).orders(), monitor_of(request).snapshot().wall
    found = [silence_view(one, wall) for one in (*orders.silences, *orders.scheduled)]
    return page(request, sorted(found, key=lambda one: one.id), lambda one: one.id)


async def silence(request: Request) -> Response:
    """Hold back notifications of some alerts in the whole network. The alerts stay visible.

    With `begin` it holds later, with `rrule` again and again.
    """
    order = await _read(request, SilenceOrder)
    monitor = monitor_of(request)
    when = SilenceTimes(order.begin, order.rrule, order.zone) if order.begin or order.rrule else None
    if order.zone and when is None:
        raise HTTPException(400, "zone is given without begin or rrule")

    def made() -> SilenceView:
        found = monitor.silence(order.matchers, order.for_s, order.author, order.reason, when)
        return silence_view(found, monitor.snapshot().wall)

    return _ordered(request, made)


async def unsilence(request: Request) -> Response:
    """End a silence that was ordered at any peer."""
    monitor = monitor_of(request)
    orders = monitor.orders()
    name = _one((*orders.silences, *orders.scheduled), request.path_params["name"], "silence").id
    return _ordered(request, lambda: Lifted(name, monitor.lift(name)))


async def acknowledgements(request: Request) -> Response:
    """Acknowledgements, by the id of the alert or incident."""
    known = monitor_of(request).orders().acknowledgements
    found = _aged(request, AcknowledgementView, (known[key] for key in sorted(known)))
    return page(request, found, lambda one: one.key)


async def acknowledge(request: Request) -> Response:
    """Acknowledge an active alert or an open incident, so that its notification is not repeated.

    From other zones, only the alerts in the headlines of their summaries are known.
    """
    order, monitor = await _read(request, AcknowledgementOrder), monitor_of(request)
    incidents = (one for one in monitor.incidents() if one.state == "open")
    beyond = (line for zone in monitor.zones() for line in zone.headlines)
    active: list[Alert | Incident | ZoneHeadline] = [*monitor.alerts(active_only=True), *incidents, *beyond]
    found = _one(active, order.key, "active alert or open incident")

    def made() -> AcknowledgementView:
        known = monitor.acknowledge(found.id, order.author, order.reason)
        return aged(AcknowledgementView, known, monitor.snapshot().wall)

    return _ordered(request, made)


async def forgotten(request: Request) -> Response:
    """Peers that operators declared gone for good, by id, until they send a record again."""
    return page(request, _aged(request, ForgottenView, monitor_of(request).orders().forgotten), lambda one: one.id)


async def forget(request: Request) -> Response:
    """Have the whole network forget a peer of our zone until it sends a record. 409 if it is alive, unless forced."""
    order, monitor = await _read(request, ForgetRequest), monitor_of(request)
    peer = find_peer(request, order.peer)
    reason = refusal(monitor.snapshot(), peer, force=order.force)
    if reason is not None:
        raise HTTPException(409, reason)

    def made() -> ForgottenView:
        known = monitor.forget(peer, order.author, order.reason, force=order.force)
        return aged(ForgottenView, known, monitor.snapshot().wall)

    return _ordered(request, made)


async def remember(request: Request) -> Response:
    """End the order to forget a peer, given at any peer."""
    monitor = monitor_of(request)
    name = _one(monitor.orders().forgotten, request.path_params["name"], "forgotten peer").id
    return _ordered(request, lambda: Lifted(name, monitor.remember(PeerId(bytes.fromhex(name)))))


async def rules(request: Request) -> Response:
    """The alert rules of this peer, each with its runbook."""
    return answer(sorted(monitor_of(request).config.alert_rules(), key=lambda rule: rule.name))


def _aged(request: Request, kind: type[T], found: Iterable[Struct]) -> list[T]:
    """Add the age of every time, by our own clock."""
    wall = monitor_of(request).snapshot().wall
    return [aged(kind, one, wall) for one in found]


def _one(known: Iterable[N], name: str, what: str) -> N:
    """Find by id, by the name at another peer, or by an unambiguous beginning of the id. Raises 404 or 409."""
    known = list(known)
    found = [one for one in known if one.id.startswith(name)]
    exact = [one for one in known if name in (one.id, *getattr(one, "names", ()))]
    if not found and not exact:
        raise HTTPException(404, f"no {what} {name[:160]!r} is known; `peerscope {LISTED_BY[what]}` lists them")
    if len(found) > 1 and not exact:
        raise HTTPException(409, f"{len(found)} ids begin with {name[:160]!r}; give more of it")
    return (exact or found)[0]


async def _read(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        raise HTTPException(400, f"the body: {error}") from None


def _ordered(request: Request, order: Callable[[], Struct]) -> Response:
    if monitor_of(request).simulation is not None:
        raise HTTPException(404, "this network is simulated: its alerts notify nobody")
    try:
        return answer(order())
    except ConfigError as error:
        raise HTTPException(400, str(error)) from None


LISTED_BY = {
    "alert": "alerts --all",
    "incident": "incidents --all",
    "silence": "silences",
    "forgotten peer": "forgotten",
    "active alert or open incident": "alerts",
}
"""The verb that lists each kind."""

PAGED = ("limit", "cursor")
FILTERS = ("all", "state", "type", "severity", "rule", "region", "peer")
SILENCE, ACKNOWLEDGEMENT, FORGET = (Body(kind=kind) for kind in (SilenceOrder, AcknowledgementOrder, ForgetRequest))
ROUTES = [
    ApiRoute("/api/v1/alerts", alerts, list[AlertView], query=(*FILTERS, *PAGED)),
    ApiRoute("/api/v1/alerts/{name}", alert, AlertView),
    ApiRoute("/api/v1/incidents", incidents, list[IncidentView], query=("all", *PAGED)),
    ApiRoute("/api/v1/incidents/{name}", incident, IncidentDetail),
    ApiRoute("/api/v1/silences", silences, list[SilenceView], query=PAGED),
    ApiRoute("/api/v1/silences", silence, SilenceView, method="POST", body=SILENCE),
    ApiRoute("/api/v1/silences/{name}", unsilence, Lifted, method="DELETE"),
    ApiRoute("/api/v1/acknowledgements", acknowledgements, list[AcknowledgementView], query=PAGED),
    ApiRoute("/api/v1/acknowledgements", acknowledge, AcknowledgementView, method="POST", body=ACKNOWLEDGEMENT),
    ApiRoute("/api/v1/forgotten", forgotten, list[ForgottenView], query=PAGED),
    ApiRoute("/api/v1/forgotten", forget, ForgottenView, method="POST", body=FORGET),
    ApiRoute("/api/v1/forgotten/{name}", remember, Lifted, method="DELETE"),
    ApiRoute("/api/v1/rules", rules, list[Rule]),
]
