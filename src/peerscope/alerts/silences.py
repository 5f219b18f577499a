"""What operators ordered, as a view: who silenced what until when, who looks after what, and who is gone for good.

Orders are records of the peers at which they were given, and hold in the whole network. Of silences with one id the
shortest end wins, whoever published it: so a peer lifts the silence of another by publishing the same id with a length
of zero, and no order of arrival matters. Orders stop messages; alerts are evaluated and shown all the same.

A silence lives as long as the network remembers the peer that ordered it: the agent publishes its orders again now
and then, and after its end they stand for another `ledger.remember_s`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.errors import ConfigError
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.membership.forgetting import latest_orders
from peerscope.records.alerts import MATCHERS_MAX, Orders
from peerscope.records.bodies import Kind
from peerscope.records.identity import SHORT_HEX, PeerId, short
from peerscope.views.snapshot import Snapshot

FIELDS = ("id", "type", "rule", "peer", "region", "severity")
FOR_S_MAX = 30 * 86_400.0
"""A silence that is wanted for longer is a rule that should be switched off."""
ACKNOWLEDGED_S_MAX = FOR_S_MAX
SILENCES_MAX = 1024
"""In the whole network: every alert is held against each of them."""
SLACK_S = 5.0
"""How far the start of an alert and the date of an order may be off against each other, by the way they came."""
REF_HEX = 16
KEY_MAX = 64
"""As long as a name in a record may be."""

Matcher = tuple[str, str]
Trust = Callable[[PeerId], bool]


class StandingSilence(Struct, frozen=True):
    """A silence that holds now. Times are Unix seconds by our own clock."""

    id: str
    matchers: tuple[Matcher, ...]
    begun_at: float
    ends_at: float
    author: str
    reason: str
    peer_id: str
    """Full id of the peer at which it was ordered."""


class StandingAcknowledgement(Struct, frozen=True):
    """Somebody looks after an alert or incident."""

    key: str
    at: float
    author: str
    reason: str
    peer_id: str


class StandingForget(Struct, frozen=True):
    """A peer that is to be forgotten until it speaks again."""

    id: str
    """Full id of the peer that is forgotten."""
    at: float
    author: str
    reason: str
    peer_id: str
    """Full id of the peer at which it was ordered."""


class StandingOrders(Struct, frozen=True):
    """All orders that hold now."""

    silences: tuple[StandingSilence, ...] = ()
    """By their end, the longest first."""
    acknowledgements: dict[str, StandingAcknowledgement] = {}
    """The newest one of each key."""
    forgotten: tuple[StandingForget, ...] = ()
    """Peers that have not spoken since, by id."""

    def silence(self, values: Mapping[str, Iterable[str]]) -> StandingSilence | None:
        """The silence that fits and holds longest; `values`: by field, each value with its other spellings."""
        return next((silence for silence in self.silences if fits(silence.matchers, values)), None)

    def acknowledgement(self, key: str, since: float) -> StandingAcknowledgement | None:
        """Who looks after it, if that was said since the condition began (Unix seconds)."""
        found = self.acknowledgements.get(order_key(key))
        return found if found is not None and found.at >= since - SLACK_S else None


def standing(snapshot: Snapshot, trusts: Trust = lambda _: True) -> StandingOrders:
    """The orders of all zones that hold now; `trusts`: whose orders count."""
    silences: dict[str, StandingSilence] = {}
    acknowledgements: dict[str, StandingAcknowledgement] = {}
    for peer, orders, issued_at in _orders(snapshot, trusts):
        author = peer.hex()
        for said in orders.silences:
            begun_at = issued_at - said.begun_ms / 1000
            for_s = min(said.for_ms / 1000, FOR_S_MAX)
            one = StandingSilence(said.id, said.matchers, begun_at, begun_at + for_s, said.author, said.reason, author)
            silences[said.id] = min(silences.get(said.id, one), one, key=lambda s: (s.ends_at, s.peer_id))
        for known in orders.acknowledgements:
            at = issued_at - known.sent_ms / 1000
            other = acknowledgements.get(known.key)
            if snapshot.wall - at <= ACKNOWLEDGED_S_MAX and (other is None or (at, author) > (other.at, other.peer_id)):
                acknowledgements[known.key] = StandingAcknowledgement(known.key, at, known.author, known.reason, author)
    lasting = [silence for silence in silences.values() if silence.ends_at > snapshot.wall]
    lasting.sort(key=lambda silence: (-silence.ends_at, silence.id))
    return StandingOrders(tuple(lasting[:SILENCES_MAX]), acknowledgements, _forgotten(snapshot, trusts))


def refusal(snapshot: Snapshot, peer: PeerId, *, force: bool) -> str | None:
    """Why a known peer is not to be forgotten; None if it may be. `force`: also one that is alive."""
    if peer == snapshot.me:
        return "an agent does not forget itself; ask another one"
    verdict = snapshot.verdict(peer)
    if force or verdict not in (Verdict.ALIVE, Verdict.SUSPECT):
        return None
    return f"{short(peer)} is {verdict.value}, not gone for good; use --force to forget it until it speaks again"


def order_key(key: str) -> str:
    """Names an alert or incident in an order: its id, or one as short as a record demands."""
    if len(key) <= KEY_MAX:
        return key
    mark = blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: KEY_MAX - len(mark) - 1]}~{mark}"


def mark(alerts: Iterable[Alert], orders: StandingOrders) -> list[Alert]:
    """The same alerts, with who silenced and who acknowledged them."""
    return [_marked(alert, orders) for alert in alerts]


def mark_incidents(incidents: Iterable[Incident], alerts: Iterable[Alert], orders: StandingOrders) -> list[Incident]:
    """The same incidents, with who silenced and who acknowledged them. `alerts`: all of them, marked.

    One whose active alerts are all silenced, or all looked after, is so itself.
    """
    by_id = {alert.id: alert for alert in alerts if alert.state == "firing"}
    marked = []
    for incident in incidents:
        silence = incident_silence(incident, orders)
        known = incident_acknowledgement(incident, orders)
        active = [by_id[name] for name in incident.alerts if name in by_id]
        marked.append(
            replace(
                incident,
                silenced_by=silence.id if silence else _common(alert.silenced_by for alert in active),
                acknowledged_by=known.author if known else _common(alert.acknowledged_by for alert in active),
            )
        )
    return marked


def incident_silence(incident: Incident, orders: StandingOrders) -> StandingSilence | None:
    """The silence that fits an incident, under any of its names."""
    kind = (incident.kind,)
    names = (incident.id, *incident.names)
    return orders.silence({"id": names, "type": kind, "rule": kind, "severity": (incident.severity,)})


def incident_acknowledgement(incident: Incident, orders: StandingOrders) -> StandingAcknowledgement | None:
    """Who looks after an incident, by whichever of its names that was said."""
    said = (orders.acknowledgement(name, incident.started_at) for name in (incident.id, *incident.names))
    return next((one for one in said if one is not None), None)


def _common(marks: Iterable[str | None]) -> str | None:
    """The first, if there is one on each."""
    found = list(marks)
    return found[0] if all(found) and found else None


def alert_values(alert: Alert) -> dict[str, tuple[str, ...]]:
    """What matchers can look at. A peer goes by its full id, or by the short forms that people see."""
    peer = alert.peer_id or ""
    return {
        "id": (alert.id, order_key(alert.id)),
        "type": (alert.type,),
        "rule": (alert.rule,),
        "peer": (peer, peer[:REF_HEX], peer[:SHORT_HEX]),
        "region": (alert.region or "",),
        "severity": (alert.severity,),
    }


def fits(matchers: Iterable[Matcher], values: Mapping[str, Iterable[str]]) -> bool:
    """All matchers fit. A field of a newer version fits nothing: rather a message too many."""
    return all(any(matches(pattern, value) for value in values.get(field, ())) for field, pattern in matchers)


def matches(pattern: str, text: str) -> bool:
    """`*` stands for anything, every other character for itself.

    Linear in the text, whatever the pattern: other peers write patterns.
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
    """Matchers as people write them, "rule=cpu-*". Raises `ConfigError`."""
    matchers = tuple(_parse_matcher(text) for text in texts)
    if not 1 <= len(matchers) <= MATCHERS_MAX:
        raise ConfigError(f"a silence has {len(matchers)} matchers; give 1 to {MATCHERS_MAX}, such as severity=low")
    return matchers


def _parse_matcher(text: str) -> Matcher:
    field, separator, pattern = text.partition("=")
    field, pattern = field.strip(), pattern.strip()
    if not separator or field not in FIELDS:
        raise ConfigError(f"{text!r} is no matcher: FIELD=VALUE, FIELD one of {', '.join(FIELDS)}, `*` for anything")
    if not pattern or len(pattern) > 64 or not pattern.isprintable():
        raise ConfigError(f"{text!r}: the value must be 1 to 64 printable characters; `*` for anything")
    return field, pattern


def _forgotten(snapshot: Snapshot, trusts: Trust) -> tuple[StandingForget, ...]:
    latest = latest_orders(snapshot.global_ledger, snapshot.now, trusts)
    return tuple(
        StandingForget(peer.hex(), order.at + snapshot.wall - snapshot.now, order.author, order.reason, order.by.hex())
        for peer, order in sorted(latest.items())
        if not order.is_lifted and snapshot.ledger.newest(peer) <= order.until
    )


def _orders(snapshot: Snapshot, trusts: Trust) -> Iterator[tuple[PeerId, Orders, float]]:
    """Who ordered what, and when that record was issued, in Unix seconds."""
    for peer in snapshot.global_ledger:
        entry = snapshot.global_ledger.get(peer, Kind.ORDERS)
        if entry is not None and isinstance(entry.body, Orders) and trusts(peer):
            yield peer, entry.body, snapshot.wall - (snapshot.now - entry.heard_at)


def _marked(alert: Alert, orders: StandingOrders) -> Alert:
    silence = orders.silence(alert_values(alert)) if orders.silences else None
    known = orders.acknowledgement(alert.id, alert.started_at - alert.uncertainty_s)
    if silence is None and known is None:
        return alert
    return replace(
        alert,
        silenced_by=silence.id if silence else None,
        acknowledged_by=known.author if known else None,
    )
