"""A Serf agent, asked over its RPC (MessagePack over TCP). Checked with Serf 0.8.2 and 0.11.0 (protocol 5).

As a source: `serf:HOST:PORT`, with `#token_file=FILE` for the word of `rpc_auth`. A request is a header and a body, an
answer is a header and, without an error, a body.

The members that are alive form the layer "serf" on the map. Round trips are those of Serf's network coordinates
(Vivaldi): estimates from pings of the whole cluster, also for members that this one never pinged.

Serf is late or wrong in this:
- Its number of members includes those that failed or left.
- On loopback, a member that was killed counts as failed after 6 s, and one that hangs after 8 s.
- A coordinate without any sample looks like a place near the middle, with an error of 1.5. It counts as unknown.
- The answer holds Go's version, and not Serf's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import SourceError
from peerscope.host.addresses import join_address, split_address
from peerscope.host.numbers import whole
from peerscope.records.bodies import OVERLAY_MAX, OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.faults import fault
from peerscope.sources.msgpack_stream import ValueEnd
from peerscope.sources.neighbours import is_address, is_overlay_id, refusing, rtt_us
from peerscope.sources.place import parse_place, secret

DEFAULT = "127.0.0.1:7373"
TIMEOUT_S = 4.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
NO_SAMPLE = 1.5
"""The error of a coordinate that Serf has just made (`VivaldiErrorMax`)."""
BYTES = b"\xc4"
"""Begins bytes in MessagePack since 2013; older programs write them as texts."""
WITHOUT_BODY = frozenset({"handshake", "auth"})
T = TypeVar("T")
Small = Annotated[float, Meta(ge=-1e9, le=1e9)]


class SerfMember(Struct, frozen=True, rename="pascal"):
    """One member, as this one sees it."""

    raw_name: msgspec.Raw = msgspec.field(name="Name")
    """A text of any length and any bytes: others choose it."""
    addr: msgspec.Raw = msgspec.Raw(b"\xa0")
    """4 or 16 bytes as a text, which is no UTF-8."""
    port: int = 0
    status: Annotated[str, Meta(max_length=32)] = ""
    """"alive", "leaving", "left" or "failed"."""

    @property
    def name(self) -> str:
        """Empty for a text that is no UTF-8. Raises `SourceError` if it is no text."""
        try:
            return msgspec.msgpack.decode(self.raw_name, type=str)
        except UnicodeDecodeError:
            return ""
        except (msgspec.MsgspecError, ValueError) as error:
            raise SourceError(f"Serf answers something else: {fault(error)}") from None


class SerfCoordinate(Struct, frozen=True, rename="pascal"):
    """A place in the space of round trips, in seconds."""

    vec: Annotated[tuple[Small, ...], Meta(max_length=64)] | None
    error: float
    adjustment: Small
    height: Small


class _SerfMembers(Struct, frozen=True, rename="pascal"):
    members: Annotated[tuple[SerfMember, ...], Meta(max_length=100_000)]


class _SerfAgent(Struct, frozen=True):
    name: str


class _SerfStats(Struct, frozen=True):
    agent: _SerfAgent
    serf: Annotated[dict[str, Annotated[str, Meta(max_length=64)]], Meta(max_length=100)] = {}


class _CoordinateAnswer(Struct, frozen=True, rename="pascal"):
    ok: bool
    coord: SerfCoordinate | None = None


class _SerfHeader(Struct, frozen=True, rename="pascal"):
    seq: int
    error: Annotated[str, Meta(max_length=400)] = ""


class SerfSource:
    """One agent's RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: "HOST:PORT"; empty for this machine's agent. Raises `ConfigError`."""
        place = parse_place(argument, frozenset({"token_file"}))
        self._place = place.address or DEFAULT
        self._address = split_address(self._place, "the RPC of Serf")
        self._token_file = place.options.get("token_file")

    async def read(self) -> Reading:
        """Read members, statistics and coordinates. Raises `SourceError`."""
        try:
            async with asyncio.timeout(TIMEOUT_S), _Conversation(*self._address) as talk:
                await talk.ask("handshake", {"Version": 1})
                if self._token_file:
                    await talk.ask("auth", {"AuthKey": secret(self._token_file)})
                members = _as(await talk.ask("members"), _SerfMembers).members
                stats = _as(await talk.ask("stats"), _SerfStats)
                me = stats.agent.name
                others = [name for one in members if one.status == "alive" and (name := one.name) != me]
                near = after(me, [name for name in others if is_overlay_id(name)])
                places = await talk.coordinates([me, *near[:OVERLAY_MAX]])
        except TimeoutError:
            raise SourceError(f"Serf at {self._place} has not answered for {TIMEOUT_S:g} s") from None
        except OSError as error:
            raise SourceError(f"no RPC of Serf at {self._place}: {error.strerror or error}") from None
        found = _reading(stats, members, near, places)
        return msgspec.structs.replace(
            found,
            metrics=NodeMetrics(p2p_peers=len(others)),
            details=refusing(found.details, len(others) - len(near)),
        )

    async def close(self) -> None:
        """Nothing stays open: each reading has a connection of its own."""


class _Conversation:
    """One connection: questions and answers in order."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._data = bytearray()
        self._asked = 0

    async def __aenter__(self) -> _Conversation:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self, command: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The body of an answer; empty for a command without one."""
        self._send(command, body)
        return await self._answer(self._asked, command)

    async def coordinates(self, names: Sequence[str]) -> dict[str, SerfCoordinate]:
        """The places of members that have one; none where coordinates are switched off."""
        before, found = self._asked, {}
        for name in names:
            self._send("get-coordinate", {"Node": name})
        for number, name in enumerate(names, before + 1):
            try:
                answer = _as(await self._answer(number, "get-coordinate"), _CoordinateAnswer)
            except SourceError:
                break  # after an error, no body may follow
            if answer.ok and answer.coord is not None and 0 <= answer.coord.error < NO_SAMPLE:
                found[name] = answer.coord
        return found

    def _send(self, command: str, body: Mapping[str, Any] | None) -> None:
        self._asked += 1
        self._writer.write(msgspec.msgpack.encode({"Command": command, "Seq": self._asked}))
        if body is not None:
            self._writer.write(msgspec.msgpack.encode(body))

    async def _answer(self, number: int, command: str) -> bytes:
        header = _as(await self._value(), _SerfHeader)
        if header.error:
            advice = "; name the file with its key, as in #token_file=PATH" if "uthentication" in header.error else ""
            raise SourceError(f"Serf answers {header.error} to {command}{advice}")
        if header.seq != number:
            raise SourceError(f"Serf answers question {header.seq} instead of {number}")
        return b"" if command in WITHOUT_BODY else await self._value()

    async def _value(self) -> bytes:
        sought = ValueEnd()
        while True:
            try:
                end = sought.find(self._data)
            except ValueError as error:
                raise SourceError(f"this is not Serf's RPC: {error}") from None
            if end is not None:
                value = bytes(self._data[:end])
                del self._data[:end]
                return value
            if len(self._data) > ANSWER_BYTES_MAX:
                raise SourceError(f"Serf answers more than {ANSWER_BYTES_MAX} bytes")
            chunk = await self._reader.read(1 << 20)
            if not chunk:
                raise SourceError("Serf broke off in the middle of an answer")
            self._data += chunk


def after(me: str, others: Sequence[str]) -> list[str]:
    """The others in the order of their names, from the one after `me` on and around.

    Only the first ones are reported. So each member of a large cluster reports others, and the map stays in one piece.
    """
    return sorted(others, key=lambda name: (name <= me, name))


def rtt_s(one: SerfCoordinate, other: SerfCoordinate) -> float | None:
    """The estimate between two places, as `serf rtt` calculates it; None if they do not fit together."""
    if one.vec is None or other.vec is None or len(one.vec) != len(other.vec):
        return None
    distance = math.dist(one.vec, other.vec) + one.height + other.height
    adjusted = distance + one.adjustment + other.adjustment
    return adjusted if adjusted > 0 else max(0.0, distance)


def _reading(
    stats: _SerfStats, members: Sequence[SerfMember], near: Sequence[str], places: Mapping[str, SerfCoordinate]
) -> Reading:
    mine = places.get(stats.agent.name)
    states = Counter(one.status for one in members)
    queues = {name: _number(stats.serf.get(name)) for name in ("intent_queue", "event_queue", "query_queue")}
    return Reading(
        node="serf",
        node_id=stats.agent.name if is_overlay_id(stats.agent.name) else None,
        overlay=tuple(OverlayLink(name, _rtt_us(mine, places.get(name))) for name in near),
        addresses=tuple(own for one in members if one.name == stats.agent.name and is_address(own := _address(one))),
        measures=(
            Measure("health_score", _number(stats.serf.get("health_score"))),
            Measure("members_alive", states["alive"]),
            Measure("members_failed", states["failed"]),
        ),
        details={
            "members_left": float(states["left"] + states["leaving"]),
            "coordinate_error": mine.error if mine else None,
            "encrypted": (stats.serf.get("encrypted") or "")[:8] or None,
            **queues,
        },
    )


def _rtt_us(one: SerfCoordinate | None, other: SerfCoordinate | None) -> int | None:
    found = rtt_s(one, other) if one is not None and other is not None else None
    return rtt_us(found)


def _address(member: SerfMember) -> str:
    return join_address(_host(bytes(member.addr)), member.port)


def _host(raw: bytes) -> str:
    """An address as text; empty for anything else. `raw`: its length as a text or as bytes, and 4 or 16 bytes."""
    try:
        ip = ipaddress.ip_address(raw[2 if raw.startswith(BYTES) else 1 :])
    except ValueError:
        return ""
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _number(text: str | None) -> int | None:
    return None if text is None or len(text) > 15 else whole(text)


def _as(value: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SourceError(f"Serf answers something else: {fault(error)}") from None
