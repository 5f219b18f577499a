"""Operators' orders as a view: silences, acknowledgements, and peers to forget.

Orders are records of the peers at which operators gave them, and hold in the whole network. If several silences have
one id, the shortest end wins, whichever peer published it. So a peer lifts the silence of another by publishing the
same id with length zero, and no order of arrival matters. Orders stop messages; alerts are still evaluated and shown.

A silence lasts as long as the network remembers the peer that ordered it. Agents publish their orders again now and
then. After the peer's end they hold for another `ledger.remember_s`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.errors import ConfigError
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.membership.forgetting import latest_orders
from peerscope.records.alerts import ALERT_DIGEST_BYTES, MATCHERS_MAX, Orders, Severity, Silence
from peerscope.records.bodies import Kind
from peerscope.records.identity import PEER_ID_BYTES, SHORT_HEX, PeerId, short
from peerscope.views.snapshot import Snapshot

FIELDS = ("id", "type", "rule", "peer", "region", "severity")
FOR_S_MAX = 30 * 86_400.0
"""Operators who need a longer silence should disable the rule."""
ACKNOWLEDGED_S_MAX = FOR_S_MAX
SILENCES_MAX = 1024
"""In the whole network: every alert is matched against each of them."""
SLACK_S = 5.0
"""Largest difference between the dates of an alert and of an order, from the ways that they came."""
REF_HEX = 16
KEY_MAX = 64
"""Longest name in a record."""

Matcher = tuple[str, str]
Trust = Callable[[PeerId], bool]


class StandingSilence(Struct, frozen=True):
    """A silence that holds now, or later. Times are Unix seconds by our own clock."""

    id: str
    matchers: tuple[Matcher, ...]
    begun_at: float
    """When it began. If it was ordered in advance, its present window, else its next one."""
    ends_at: float
    author: str
    reason: str
    peer_id: str
    """Full id of the peer at which the operator ordered it."""
    windows: tuple[tuple[float, float], ...] = ()
    """(begin, end) of the present and the next windows, if it was ordered in advance."""
    repeats: str | None = None
    """Its rule (RFC 5545 RRULE), as the operator wrote it."""
    zone: str | None = None
    """IANA name of the time zone of the rule and of its begin."""


class StandingAcknowledgement(Struct, frozen=True):
    """An operator looks after an alert or incident."""

    key: str
    at: float
    author: str
    reason: str
    peer_id: str
    alerts: tuple[str, ...] = ()
    """`alert_digest` of each alert that the incident held then, in hexadecimal."""


class StandingForget(Struct, frozen=True):
    """A peer that all forget until it reports again."""

    id: str
    """Full id of the forgotten peer."""
    at: float
    author: str
    reason: str
    peer_id: str
    """Full id of the peer at which the operator ordered it."""


class StandingOrders(Struct, frozen=True):
    """All orders that hold now."""

    silences: tuple[StandingSilence, ...] = ()
    """Sorted by their end, the latest first."""
    acknowledgements: dict[str, StandingAcknowledgement] = {}
    """The newest acknowledgement of each key."""
    forgotten: tuple[StandingForget, ...] = ()
    """Peers that have not reported since, by id."""
    scheduled: tuple[StandingSilence, ...] = ()
    """Silences that hold later, the next one first."""
    lifted: frozenset[str] = frozenset()
    """Ids of silences that some peer lifted."""

    @property
    def planned(self) -> list[StandingSilence]:
        """Silences that hold now and were ordered in advance."""
        return [silence for silence in self.silences if silence.windows]

    acknowledged_alerts: dict[str, StandingAcknowledgement] = {}
    """The newest acknowledgement of an incident that held an alert, by digest of the alert."""

    def silence(self, values: Mapping[str, Iterable[str]]) -> StandingSilence | None:
        """The matching silence that holds longest; `values`: by field, each value with its other spellings."""
        return next((silence for silence in self.silences if fits(silence.matchers, values)), None)

    def acknowledgement(self, key: str, since: float) -> StandingAcknowledgement | None:
        """The acknowledgement of this key, if it was given after the condition began (Unix seconds)."""
        found = self.acknowledgements.get(order_key(key))
        if (found is None or found.at < since - SLACK_S) and self.acknowledged_alerts:
            found = self.acknowledged_alerts.get(alert_digest(key).hex())
        return found if found is not None and found.at >= since - SLACK_S else None


def standing(snapshot: Snapshot, trusts: Trust = lambda _: True) -> StandingOrders:
    """Orders of all zones that hold now; `trusts`: whether the orders of a peer count."""
    silences: dict[str, tuple[float, StandingSilence]] = {}
    acknowledgements: dict[str, StandingAcknowledgement] = {}
    lifted: set[str] = set()
    for peer, orders, issued_at in _orders(snapshot, trusts):
        author = peer.hex()
        for silence in orders.silences:
            if not silence.for_ms and not silence.windows:
                lifted.add(silence.id)
            found = _stated(silence, issued_at, author, snapshot.wall)
            silences[silence.id] = min(silences.get(silence.id, found), found, key=lambda s: (s[0], s[1].peer_id))
        for known in orders.acknowledgements:
            at = issued_at - known.sent_ms / 1000
            other = acknowledgements.get(known.key)
            if snapshot.wall - at <= ACKNOWLEDGED_S_MAX and (other is None or (at, author) > (other.at, other.peer_id)):
                alerts = tuple(one.hex() for one in known.alerts)
                acknowledgements[known.key] = StandingAcknowledgement(
                    known.key, at, known.author, known.reason, author, alerts
                )
    held: dict[str, StandingAcknowledgement] = {}
    for given in sorted(acknowledgements.values(), key=lambda one: (one.at, one.peer_id)):
        held.update(dict.fromkeys(given.alerts, given))
    known_ones = [silence for _, silence in silences.values() if silence.ends_at > snapshot.wall]
    lasting = [silence for silence in known_ones if not (silence.windows and silence.begun_at > snapshot.wall)]
    lasting.sort(key=lambda silence: (-silence.ends_at, silence.id))
    later = [silence for silence in known_ones if silence.windows and silence.begun_at > snapshot.wall]
    later.sort(key=lambda silence: (silence.begun_at, silence.id))
    return StandingOrders(
        tuple(lasting[:SILENCES_MAX]),
        acknowledgements,
        _forgotten(snapshot, trusts),
        tuple(later[:SILENCES_MAX]),
        frozenset(lifted),
        held,
    )


def refusal(snapshot: Snapshot, peer: PeerId, *, force: bool) -> str | None:
    """Why a known peer must not be forgotten; None if it may be. `force`: allow a peer that is alive."""
    if peer == snapshot.me:
        return "an agent does not forget itself; ask another one"
    verdict = snapshot.verdict(peer)
    if force or verdict not in (Verdict.ALIVE, Verdict.SUSPECT):
        return None
    return f"{short(peer)} is {verdict.value}, not gone for good; use --force to forget it until it speaks again"


def order_key(key: str, suffix: str = "") -> str:
    """Key of an alert or incident in an order or notice: its id and the suffix, shortened to the limit of a record."""
    if len(key + suffix) <= KEY_MAX:
        return key + suffix
    digest = blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: KEY_MAX - len(digest) - len(suffix) - 1]}~{digest}{suffix}"


def alert_digest(alert: str) -> bytes:
    """Short name of an alert's id in an acknowledgement."""
    return blake2b(alert.encode(), digest_size=ALERT_DIGEST_BYTES).digest()


def mark(alerts: Iterable[Alert], orders: StandingOrders) -> list[Alert]:
    """Set which silence and which acknowledgement holds for each alert."""
    return [_marked(alert, orders) for alert in alerts]


def mark_incidents(incidents: Iterable[Incident], alerts: Iterable[Alert], orders: StandingOrders) -> list[Incident]:
    """Set which silence and acknowledgement holds for each incident. `alerts`: all alerts, marked.

    An incident is also silenced if all its active alerts are, and acknowledged only then.
    """
    by_id = {alert.id: alert for alert in alerts if alert.state == "firing"}
    marked = []
    for incident in incidents:
        silence = incident_silence(incident, orders)
        active = [by_id[name] for name in incident.alerts if name in by_id]
        marked.append(
            replace(
                incident,
                silenced_by=silence.id if silence else _common(alert.silenced_by for alert in active),
                acknowledged_by=incident_author(incident, active, orders),
            )
        )
    return marked


def incident_silence(incident: Incident, orders: StandingOrders) -> StandingSilence | None:
    """The silence that matches an incident under any of its names."""
    kind = (incident.kind,)
    names = (incident.id, *incident.names)
    return orders.silence({"id": names, "type": kind, "rule": kind, "severity": (incident.severity,)})


def incident_author(incident: Incident, members: Iterable[Alert], orders: StandingOrders) -> str | None:
    """The author of the acknowledgement of all alerts that fire; None if one of them came later.

    `members`: marked alerts. An acknowledgement of the incident, under any of its names, counts for the alerts that it
    held when the order was given.
    """
    given = (orders.acknowledgement(name, incident.started_at) for name in (incident.id, *incident.names))
    known = next((one for one in given if one is not None), None)
    if incident.state != "open":
        return known.author if known is not None else None
    return _common(
        known.author if known is not None and known.at >= _latest(alert) else alert.acknowledged_by
        for alert in members
        if alert.state == "firing"
    )


def _latest(alert: Alert) -> float:
    """An earlier order was given before this alert began, whatever the errors of both dates."""
    return alert.started_at - alert.uncertainty_s - SLACK_S


def _common(marks: Iterable[str | None]) -> str | None:
    """The first mark, if every alert has one."""
    found = list(marks)
    return found[0] if all(found) and found else None


def alert_values(alert: Alert) -> dict[str, tuple[str, ...]]:
    """Values that matchers compare. A peer matches by its full id or by the short forms that people see."""
    peer = alert.peer_id or ""
    return {
        "id": (alert.id, order_key(alert.id)),
        "type": (alert.type,),
        "rule": (alert.rule,),
        "peer": spellings(peer),
        "region": (alert.region or "",),
        "severity": (alert.severity,),
    }


def spellings(peer: str) -> tuple[str, ...]:
    """The full id of a peer, and the short forms that people see."""
    return (peer, peer[:REF_HEX], peer[:SHORT_HEX])


def fits(matchers: Iterable[Matcher], values: Mapping[str, Iterable[str]]) -> bool:
    """Whether all matchers fit. A field of a newer version fits nothing: one message too many is better than none."""
    return all(any(matches(pattern, value) for value in values.get(field, ())) for field, pattern in matchers)


def matches(pattern: str, text: str) -> bool:
    """Whether the text matches; `*` stands for anything.

    Linear in the text for every pattern, because other peers write patterns.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, tail = rest
    if not text.startswith(head) or len(text) < len(head) + len(tail) or not text.endswith(tail):
        return False
    at, end = len(head), len(text) - len(tail)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def parse_matchers(texts: Iterable[str]) -> tuple[Matcher, ...]:
    """Parse matchers such as "rule=cpu-*". Raises `ConfigError`."""
    matchers = tuple(_parse_matcher(text) for text in texts)
    if not 1 <= len(matchers) <= MATCHERS_MAX:
        raise ConfigError(f"a silence has {len(matchers)} matchers; give 1 to {MATCHERS_MAX}, such as severity=low")
    return matchers


def _parse_matcher(text: str) -> Matcher:
    field, separator, pattern = text.partition("=")
    field, pattern = field.strip(), pattern.strip()
    if not separator or field not in FIELDS:
        raise ConfigError(f"{text!r} is no matcher: FIELD=VALUE, FIELD one of {', '.join(FIELDS)}; severity=* is any")
    if not pattern or len(pattern) > 64 or not pattern.isprintable():
        raise ConfigError(f"{text!r}: the value must be 1 to 64 printable characters; `*` for anything")
    return field, pattern


def checked(matchers: Iterable[Matcher], snapshot: Snapshot, rules: Collection[str]) -> tuple[Matcher, ...]:
    """Matchers without a slip, peers by the id that alerts show. Raises `ConfigError`.

    `rules`: names of rules and detections. A value with a `*` is taken as it is.
    """
    return tuple((field, _checked(field, pattern, snapshot, rules)) for field, pattern in matchers)


def _checked(field: str, pattern: str, snapshot: Snapshot, rules: Collection[str]) -> str:
    if "*" in pattern:
        return pattern
    if field == "severity" and pattern not in (names := [one.name.lower() for one in Severity]):
        raise ConfigError(f"severity={pattern}: no such severity; known: {', '.join(names)}")
    if field == "rule" and pattern not in rules:
        from difflib import get_close_matches  # for mistakes alone

        close = get_close_matches(pattern, rules, n=1)
        guess = f"did you mean rule={close[0]}?" if close else f"rule={pattern}* takes names that begin so"
        raise ConfigError(f"rule={pattern}: no such rule here; {guess}")
    if field == "peer":
        named = [peer.hex() for peer in snapshot.profiles if peer.hex().startswith(pattern.lower())]
        if len(named) == 1:
            return named[0]
        if len(pattern) < 2 * PEER_ID_BYTES:
            found = f"{len(named)} peers begin so; give more of the id" if named else "no peer here begins so"
            raise ConfigError(f"peer={pattern}: {found}")
    return pattern


def _forgotten(snapshot: Snapshot, trusts: Trust) -> tuple[StandingForget, ...]:
    latest = latest_orders(snapshot.global_ledger, snapshot.now, trusts)
    return tuple(
        StandingForget(peer.hex(), order.at + snapshot.wall - snapshot.now, order.author, order.reason, order.by.hex())
        for peer, order in sorted(latest.items())
        if not order.is_lifted and snapshot.ledger.newest(peer) <= order.until
    )


def _stated(silence: Silence, issued_at: float, author: str, wall: float) -> tuple[float, StandingSilence]:
    """A silence of a record, and the end of its last window. That comes first: the shortest of one id wins."""
    begun_at = issued_at - silence.begun_ms / 1000
    ends_at = begun_at + min(silence.for_ms / 1000, FOR_S_MAX)
    last_end = ends_at
    begins = sorted((issued_at + one.in_ms / 1000, min(one.for_ms / 1000, FOR_S_MAX)) for one in silence.windows)
    windows = [(begin, begin + for_s) for begin, for_s in begins if begin + for_s > wall]
    if windows:
        last_end = max(end for _, end in windows)
        holding = [window for window in windows if window[0] <= wall]
        begun_at, ends_at = max(holding, key=lambda window: window[1]) if holding else windows[0]
    return last_end, StandingSilence(
        silence.id,
        silence.matchers,
        begun_at,
        ends_at,
        silence.author,
        silence.reason,
        author,
        tuple(windows),
        silence.repeats or None,
        silence.zone or None,
    )


def _orders(snapshot: Snapshot, trusts: Trust) -> Iterator[tuple[PeerId, Orders, float]]:
    """Orders with their peer, and when that record was issued in Unix seconds."""
    for peer in snapshot.global_ledger:
        entry = snapshot.global_ledger.get(peer, Kind.ORDERS)
        if entry is not None and isinstance(entry.body, Orders) and trusts(peer):
            yield peer, entry.body, snapshot.wall - (snapshot.now - entry.heard_at)


def _marked(alert: Alert, orders: StandingOrders) -> Alert:
    silence = orders.silence(alert_values(alert)) if orders.silences else None
    since = alert.started_at - alert.uncertainty_s
    known = orders.acknowledgement(alert.id, since)
    if known is None and alert.incident is not None:
        known = orders.acknowledgement(alert.incident, since)
    if silence is None and known is None:
        return alert
    return replace(
        alert,
        silenced_by=silence.id if silence else None,
        acknowledged_by=known.author if known else None,
    )
