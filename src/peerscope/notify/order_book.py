"""The orders given at this peer. It saves them for the next run, and publishes them to the whole network.

Times are Unix seconds here, so that they survive a restart, and ages in the record.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, Set

import msgspec
from msgspec import Struct

from peerscope.alerts.silences import (
    FOR_S_MAX,
    StandingAcknowledgement,
    StandingForget,
    StandingOrders,
    StandingSilence,
    alert_digest,
    order_key,
    parse_matchers,
)
from peerscope.errors import ConfigError, RemoteError
from peerscope.host.clock import monotonic
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.state import ORDERS_FILE, StateDirectory
from peerscope.mesh.membership.forgetting import STANDS_S
from peerscope.notify.schedule import Schedule, SilenceTimes, order_schedule
from peerscope.notify.windows import KeptSchedule, WindowCache
from peerscope.records.alerts import (
    ACKNOWLEDGED_MAX,
    ORDERS_MAX,
    Acknowledgement,
    Forget,
    Orders,
    Silence,
    SilenceWindow,
)
from peerscope.records.bodies import Kind, body_bytes_max, decode_body, encode_body
from peerscope.records.certificates import CERTIFICATE_BYTES_MAX
from peerscope.records.identity import PeerId

REPEAT_S = 6 * 3600.0
"""New members do not get records older than `ledger.remember_s`, a day, so publish again well before."""
LOOK_INTERVAL_S = 60.0
NAME_MAX, REASON_MAX = 64, 160

log = logging.getLogger(__name__)


class KeptForget(StandingForget, frozen=True, kw_only=True):
    """An order to forget a peer, given here."""

    until: int
    """Forget records up to this version."""
    is_lifted: bool = False
    """This order takes an earlier one back."""


class KeptOrders(Struct, frozen=True):
    """Content of the file."""

    silences: tuple[StandingSilence, ...] = ()
    """A silence of another peer that was lifted here has no duration, and stays until it would have ended."""
    lifted_until: dict[str, float] = {}
    acknowledgements: tuple[StandingAcknowledgement, ...] = ()
    forgotten: tuple[KeptForget, ...] = ()
    scheduled: tuple[KeptSchedule, ...] = ()
    """Apart from `silences`: an older agent would take one for a silence that holds now."""


class OrderBook:
    """Takes orders, saves them, and publishes them."""

    def __init__(
        self,
        state: StateDirectory,
        peer_id: str,
        publish: Callable[[Orders], None],
        standing: Callable[[], StandingOrders],
    ) -> None:
        """`standing`: all active orders of the network."""
        self._state = state
        self._peer_id = peer_id
        self._publish = publish
        self._standing = standing
        self._kept = _read(state)
        self._published_at: float | None = None
        self._windows = WindowCache()

    async def run(self) -> None:
        """Publish the orders at the start, and again every `REPEAT_S`."""
        while True:
            self._clear(time.time())
            kept = self._kept
            has_some = bool(kept.silences or kept.acknowledgements or kept.forgotten or kept.scheduled)
            is_due = self._published_at is None or monotonic() - self._published_at >= REPEAT_S
            if self._heed_lifts() or self._windows.have_passed or (has_some and is_due):
                self._publish_orders(time.time())
            await asyncio.sleep(LOOK_INTERVAL_S)

    def silence(
        self, matchers: Iterable[str], for_s: float, author: str, reason: str, when: SilenceTimes | None = None
    ) -> StandingSilence:
        """Silence alerts that match all matchers, from now or as ordered in advance. Raises `ConfigError`."""
        now = time.time()
        if not (math.isfinite(for_s) and 1.0 <= for_s <= FOR_S_MAX):
            raise ConfigError(f"a silence of {for_s:g} s; it lasts between a second and {FOR_S_MAX / 86400:.0f} days")
        if when is not None:
            return self._schedule(matchers, order_schedule(when, for_s, now), author, reason, now)
        silence = StandingSilence(
            id=secrets.token_hex(4),
            matchers=parse_matchers(matchers),
            begun_at=now,
            ends_at=now + for_s,
            author=_checked(author, "author", NAME_MAX),
            reason=_checked(reason, "reason", REASON_MAX),
            peer_id=self._peer_id,
        )
        self._add(silence, now)
        return silence

    def lift(self, name: str) -> bool:
        """End a silence of any peer. False if no silence has this id. Raises `ConfigError`."""
        now = time.time()
        if any(one.id == name for one in self._kept.silences):
            self._keep(msgspec.structs.replace(self._kept, silences=self._without(name)), now)
            return True
        if any(one.id == name for one in self._kept.scheduled):
            self._drop_scheduled({name})
            self._keep(self._kept, now)
            return True
        standing = self._standing()
        silence = next((one for one in (*standing.silences, *standing.scheduled) if one.id == name), None)
        if silence is None:
            return False
        if silence.peer_id == self._peer_id:  # of an earlier run whose file is lost
            self._publish_orders(now)
            return True
        over = msgspec.structs.replace(
            silence, begun_at=now, ends_at=now, peer_id=self._peer_id, windows=(), repeats=None, zone=None
        )
        # Its author drops a silence that was ordered in advance, once it has read this.
        until = now + FOR_S_MAX if silence.windows else silence.ends_at
        self._add(over, now, {**self._kept.lifted_until, name: until})
        return True

    def acknowledge(
        self, key: str, author: str, reason: str = "", alerts: Iterable[str] = ()
    ) -> StandingAcknowledgement:
        """Acknowledge an alert or incident. `alerts`: ids of those in the incident. Raises `ConfigError`.

        The oldest acknowledgements are dropped if there are too many.
        """
        now = time.time()
        acknowledgement = StandingAcknowledgement(
            key=_checked(order_key(key), "id of the alert or incident", NAME_MAX),
            at=now,
            author=_checked(author, "author", NAME_MAX),
            reason=_checked(reason, "reason", REASON_MAX, may_be_empty=True),
            peer_id=self._peer_id,
            alerts=tuple(sorted(alert_digest(one).hex() for one in alerts)[:ACKNOWLEDGED_MAX]),
        )
        others = [one for one in self._kept.acknowledgements if one.key != order_key(key)]
        newest = tuple([*others, acknowledgement][-ORDERS_MAX:])
        kept = msgspec.structs.replace(self._kept, acknowledgements=newest)
        while len(kept.acknowledgements) > 1 and not self._fits(kept, now):
            kept = msgspec.structs.replace(kept, acknowledgements=kept.acknowledgements[1:])
        self._keep(kept, now)
        return acknowledgement

    def forget(self, peer: PeerId, until: int, author: str, reason: str = "") -> StandingForget:
        """Order all peers to forget a peer, with its records up to this version. Raises `ConfigError`."""
        return self._order(peer, until, _checked(author, "author", NAME_MAX), reason)

    def remember(self, peer: PeerId) -> bool:
        """Take back an order of any peer to forget this one. False if there is none."""
        if all(one.id != peer.hex() for one in self._standing().forgotten):
            return False
        self._order(peer, 0, "", "", is_lifted=True)
        return True

    def _order(self, peer: PeerId, until: int, author: str, reason: str, *, is_lifted: bool = False) -> StandingForget:
        now = time.time()
        self._clear(now)
        reason = _checked(reason, "reason", REASON_MAX, may_be_empty=True)
        order = KeptForget(peer.hex(), now, author, reason, self._peer_id, until=until, is_lifted=is_lifted)
        others = tuple(one for one in self._kept.forgotten if one.id != order.id)
        kept = msgspec.structs.replace(self._kept, forgotten=(*others, order))
        if len(kept.forgotten) > ORDERS_MAX or not self._fits(kept, now):
            raise ConfigError(f"this peer keeps {len(others)} orders to forget already; give this one at another peer")
        self._keep(kept, now)
        return StandingForget(order.id, order.at, order.author, order.reason, order.peer_id)

    def _add(self, silence: StandingSilence, now: float, lifted: dict[str, float] | None = None) -> None:
        self._clear(now)
        kept = msgspec.structs.replace(
            self._kept,
            silences=(*self._without(silence.id), silence),
            lifted_until=self._kept.lifted_until if lifted is None else lifted,
        )
        if len(kept.silences) > ORDERS_MAX or not self._fits(kept, now):
            raise ConfigError(f"{len(self._kept.silences)} silences were ordered at this peer already; lift some first")
        self._keep(kept, now)

    def _schedule(
        self, matchers: Iterable[str], schedule: Schedule, author: str, reason: str, now: float
    ) -> StandingSilence:
        self._clear(now)
        order = KeptSchedule(
            id=secrets.token_hex(4),
            matchers=parse_matchers(matchers),
            schedule=schedule,
            author=_checked(author, "author", NAME_MAX),
            reason=_checked(reason, "reason", REASON_MAX),
        )
        kept = msgspec.structs.replace(self._kept, scheduled=(*self._kept.scheduled, order))
        count = len(kept.scheduled) + len(kept.silences)
        if count > ORDERS_MAX or not self._fits(kept, now):
            raise ConfigError(f"{count - 1} silences were ordered at this peer already; lift some first")
        self._keep(kept, now)
        windows = self._windows.of(order, now)
        return StandingSilence(
            order.id,
            order.matchers,
            *windows[0],
            order.author,
            order.reason,
            self._peer_id,
            windows,
            schedule.rule,
            schedule.zone,
        )

    def _heed_lifts(self) -> bool:
        """Drop silences ordered here in advance that another peer has lifted."""
        lifted = {one.id for one in self._kept.scheduled} & self._standing().lifted if self._kept.scheduled else set()
        if lifted:
            self._drop_scheduled(lifted)
            self._save()
        return bool(lifted)

    def _drop_scheduled(self, names: Set[str]) -> None:
        rest = tuple(one for one in self._kept.scheduled if one.id not in names)
        self._kept = msgspec.structs.replace(self._kept, scheduled=rest)

    def _without(self, name: str) -> tuple[StandingSilence, ...]:
        return tuple(one for one in self._kept.silences if one.id != name)

    def _clear(self, now: float) -> None:
        """Remove orders that have ended."""
        lifted = {name: until for name, until in self._kept.lifted_until.items() if until > now}
        silences = tuple(one for one in self._kept.silences if one.ends_at > now or one.id in lifted)
        known = tuple(one for one in self._kept.acknowledgements if now - one.at < FOR_S_MAX)
        forgotten = tuple(one for one in self._kept.forgotten if now - one.at < STANDS_S)
        scheduled = tuple(one for one in self._kept.scheduled if not self._windows.is_over(one, now))
        self._kept = KeptOrders(silences, lifted, known, forgotten, scheduled)

    def _keep(self, kept: KeptOrders, now: float) -> None:
        self._kept = kept
        self._save()
        self._publish_orders(now)

    def _save(self) -> None:
        try:
            self._state.keep(ORDERS_FILE, msgspec.json.encode(self._kept))
        except OSError as error:  # the order still holds until this agent ends
            log.warning("orders are not kept over a restart: %s: %s", self._state.path / ORDERS_FILE, error.strerror)

    def _publish_orders(self, now: float) -> None:
        self._published_at = monotonic()
        self._publish(_body(self._kept, now, self._windows))
        self._windows.have_passed = False

    def _fits(self, kept: KeptOrders, now: float) -> bool:
        size = len(encode_body(_body(kept, now, self._windows)))
        return size + CERTIFICATE_BYTES_MAX <= body_bytes_max(Kind.ORDERS)


def _body(kept: KeptOrders, now: float, cache: WindowCache) -> Orders:
    silences = [
        Silence(one.id, one.matchers, _ms(now - one.begun_at), _ms(one.ends_at - one.begun_at), one.author, one.reason)
        for one in kept.silences
    ]
    for order in kept.scheduled:
        windows = tuple(
            SilenceWindow(round((begin - now) * 1000), _ms(end - begin)) for begin, end in cache.of(order, now)
        )
        if windows:
            rule, zone = order.schedule.rule or "", order.schedule.zone
            silences.append(Silence(order.id, order.matchers, 0, 0, order.author, order.reason, windows, rule, zone))
    known = (
        Acknowledgement(one.key, _ms(now - one.at), one.author, one.reason, tuple(map(bytes.fromhex, one.alerts)))
        for one in kept.acknowledgements
    )
    forgotten = (
        Forget(bytes.fromhex(one.id), one.until, _ms(now - one.at), one.author, one.reason, one.is_lifted)
        for one in kept.forgotten
    )
    return Orders(tuple(silences), tuple(known), forgotten=tuple(forgotten))


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _checked(text: str, what: str, most: int, *, may_be_empty: bool = False) -> str:
    text = text.strip()
    if not (text or may_be_empty) or len(text) > most or not (text.isprintable() or not text):
        raise ConfigError(f"{what} is {text[:80]!r}; must be {0 if may_be_empty else 1} to {most} printable characters")
    return text


def _read(state: StateDirectory) -> KeptOrders:
    data = state.kept(ORDERS_FILE)
    if data is None:
        return KeptOrders()
    try:
        kept = msgspec.json.decode(data, type=KeptOrders)
        decode_body(
            Kind.ORDERS, encode_body(_body(kept, time.time(), WindowCache()))
        )  # other peers make the same checks
    except (msgspec.MsgspecError, RemoteError, OverflowError, ValueError, RecursionError) as error:
        put_damaged_aside(state.path / ORDERS_FILE, str(error), "its orders are lost")
        return KeptOrders()
    return kept
