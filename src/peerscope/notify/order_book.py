"""The orders given at this peer. It saves them for the next run, and publishes them to the whole network.

Times are Unix seconds here, so that they survive a restart, and ages in the record.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable

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
from peerscope.records.alerts import ACKNOWLEDGED_MAX, ORDERS_MAX, Acknowledgement, Forget, Orders, Silence
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

    async def run(self) -> None:
        """Publish the orders at the start, and again every `REPEAT_S`."""
        while True:
            self._clear(time.time())
            has_some = bool(self._kept.silences or self._kept.acknowledgements or self._kept.forgotten)
            if has_some and (self._published_at is None or monotonic() - self._published_at >= REPEAT_S):
                self._publish_orders(time.time())
            await asyncio.sleep(LOOK_INTERVAL_S)

    def silence(self, matchers: Iterable[str], for_s: float, author: str, reason: str) -> StandingSilence:
        """Silence alerts that match all matchers. Raises `ConfigError`."""
        now = time.time()
        if not (math.isfinite(for_s) and 1.0 <= for_s <= FOR_S_MAX):
            raise ConfigError(f"a silence of {for_s:g} s; it lasts between a second and {FOR_S_MAX / 86400:.0f} days")
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
        silence = next((one for one in self._standing().silences if one.id == name), None)
        if silence is None:
            return False
        if silence.peer_id == self._peer_id:  # of an earlier run whose file is lost
            self._publish_orders(now)
            return True
        over = msgspec.structs.replace(silence, begun_at=now, ends_at=now, peer_id=self._peer_id)
        self._add(over, now, {**self._kept.lifted_until, name: silence.ends_at})
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
        while len(kept.acknowledgements) > 1 and not _fits(kept, now):
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
        if len(kept.forgotten) > ORDERS_MAX or not _fits(kept, now):
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
        if len(kept.silences) > ORDERS_MAX or not _fits(kept, now):
            raise ConfigError(f"{len(self._kept.silences)} silences were ordered at this peer already; lift some first")
        self._keep(kept, now)

    def _without(self, name: str) -> tuple[StandingSilence, ...]:
        return tuple(one for one in self._kept.silences if one.id != name)

    def _clear(self, now: float) -> None:
        """Remove orders that have ended."""
        lifted = {name: until for name, until in self._kept.lifted_until.items() if until > now}
        silences = tuple(one for one in self._kept.silences if one.ends_at > now or one.id in lifted)
        known = tuple(one for one in self._kept.acknowledgements if now - one.at < FOR_S_MAX)
        forgotten = tuple(one for one in self._kept.forgotten if now - one.at < STANDS_S)
        self._kept = KeptOrders(silences, lifted, known, forgotten)

    def _keep(self, kept: KeptOrders, now: float) -> None:
        self._kept = kept
        try:
            self._state.keep(ORDERS_FILE, msgspec.json.encode(kept))
        except OSError as error:  # the order still holds until this agent ends
            log.warning("orders are not kept over a restart: %s: %s", self._state.path / ORDERS_FILE, error.strerror)
        self._publish_orders(now)

    def _publish_orders(self, now: float) -> None:
        self._published_at = monotonic()
        self._publish(_body(self._kept, now))


def _body(kept: KeptOrders, now: float) -> Orders:
    silences = (
        Silence(one.id, one.matchers, _ms(now - one.begun_at), _ms(one.ends_at - one.begun_at), one.author, one.reason)
        for one in kept.silences
    )
    known = (
        Acknowledgement(one.key, _ms(now - one.at), one.author, one.reason, tuple(map(bytes.fromhex, one.alerts)))
        for one in kept.acknowledgements
    )
    forgotten = (
        Forget(bytes.fromhex(one.id), one.until, _ms(now - one.at), one.author, one.reason, one.is_lifted)
        for one in kept.forgotten
    )
    return Orders(tuple(silences), tuple(known), forgotten=tuple(forgotten))


def _fits(kept: KeptOrders, now: float) -> bool:
    return len(encode_body(_body(kept, now))) + CERTIFICATE_BYTES_MAX <= body_bytes_max(Kind.ORDERS)


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
        decode_body(Kind.ORDERS, encode_body(_body(kept, time.time())))  # other peers make the same checks
    except (msgspec.MsgspecError, RemoteError, OverflowError, ValueError, RecursionError) as error:
        put_damaged_aside(state.path / ORDERS_FILE, str(error), "its orders are lost")
        return KeptOrders()
    return kept
