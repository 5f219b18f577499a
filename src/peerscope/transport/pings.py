"""The UDP sockets of the sealed pings, and the way to each peer (`ping_path.py`).

One socket serves IPv4 and one IPv6, both on one port, since iroh often prefers the family that the settings do not
name.

Anybody can send packets to the sockets. They never answer one that does not open, keep nothing about it, and count it.
A flood must not keep the event loop busy: after `STRAYS_BURST` bad packets the sockets are not read for `DEAF_S`. The
peers then use QUIC, whose packets iroh checks outside of Python.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from peerscope.errors import RemoteError
from peerscope.host.addresses import is_loopback, join_address, split_address
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.records.identity import PeerId
from peerscope.transport.ping_path import Address, PingConnection, PingPath
from peerscope.transport.relay import PingState
from peerscope.transport.sealed import PACKET_BYTES_MAX, Opener, decode_offer, key_id_of

READS_MAX = 32
"""Packets of one turn of the event loop."""
STRAYS_PER_S, STRAYS_BURST = 20.0, 1_000.0
"""Packets that do not open, such as those under a key that was just replaced."""
DEAF_S = 10.0
TRIES = 8
"""Random ports to try until one is free in both families."""

log = logging.getLogger(__name__)


class SealedConnection(PingConnection, Protocol):
    """A connection that also takes datagrams."""

    def take_sealed(self, data: bytes) -> None:
        """Pass a datagram on, within the limits of the connection."""

    def admits_datagram(self) -> bool:
        """Count a datagram; False beyond the limit."""


class Pings:
    """Sends and receives datagrams by UDP, where both ends can."""

    def __init__(
        self,
        me: PeerId,
        channels: Sequence[socket.socket],
        counters: Counter[str],
        newest: Callable[[PeerId], SealedConnection | None],
    ) -> None:
        """`channels`: of `open_channels`; none for QUIC only. `newest`: the connection to use for a peer."""
        self._me = me
        self._channels = {channel.family: channel for channel in channels}
        self._counters = counters
        self._newest = newest
        self._paths: dict[PeerId, PingPath] = {}
        self._by_key: dict[bytes, PingPath] = {}
        """At most two keys of each path."""
        self._loop = asyncio.get_running_loop()
        self._strays = TokenBucket(STRAYS_PER_S, STRAYS_BURST, self._loop.time())
        self._hears = False
        self._alarm: asyncio.TimerHandle | None = None
        self.port: int | None = int(channels[0].getsockname()[1]) if channels else None
        """The bound port; None for QUIC only."""
        self._listen()

    @property
    def state(self) -> PingState:
        """For people."""
        return PingState(self.port, sum(path.is_up for path in self._paths.values()))

    def send(self, peer: PeerId, connection: SealedConnection, data: bytes) -> bool:
        """Send a datagram by UDP; False if it has to go by QUIC."""
        if not self._hears:
            return False
        path = self._paths.get(peer)
        if path is None:
            path = self._path(peer)
        now, falls = self._loop.time(), path.falls
        offered = path.openers
        is_sent = path.send(connection, data, now)
        self._note(path, offered, falls)
        return is_sent

    def came_by_quic(self, peer: PeerId) -> None:
        """A datagram of this peer came by QUIC."""
        path = self._paths.get(peer)
        if path is not None:
            path.came_by_quic(self._loop.time())

    def take_offer(self, peer: PeerId, data: bytes) -> None:
        """Take the offer of a peer, which came in the stream."""
        connection = self._newest(peer)
        if self.port is None or connection is None:
            return
        path = self._paths.get(peer) or self._path(peer)
        offered, falls = path.openers, path.falls
        try:
            path.take_offer(connection, decode_offer(data), self._loop.time())
        except RemoteError as error:
            self._counters[error.reason] += 1
        self._note(path, offered, falls)

    def forget(self, peer: PeerId) -> None:
        """No connection with the peer is left: its keys end."""
        path = self._paths.pop(peer, None)
        for opener in path.openers if path is not None else ():
            self._by_key.pop(opener.key_id, None)

    def close(self) -> None:
        """Close the sockets."""
        self._stop()
        if self._alarm is not None:
            self._alarm.cancel()
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self.port = None

    def _path(self, peer: PeerId) -> PingPath:
        assert self.port is not None
        path = self._paths[peer] = PingPath(self._me, peer, self.port, self._transmit)
        return path

    def _note(self, path: PingPath, offered: list[Opener], falls: int) -> None:
        """Keep the table of keys and the counters in step with the path."""
        if path.openers is not offered:
            for opener in offered:
                self._by_key.pop(opener.key_id, None)
            self._by_key |= {opener.key_id: path for opener in path.openers}
        if path.falls > falls:
            self._counters["ping-path-lost"] += 1

    def _transmit(self, packet: bytes, address: Address) -> bool:
        channel = self._channels.get(_family(address[0]))
        if channel is None:
            return False
        try:
            channel.sendto(packet, address)
        except OSError:  # no route, or a full buffer
            return False
        return True

    def _readable(self, channel: socket.socket) -> None:
        now = self._loop.time()
        for _ in range(READS_MAX):
            try:
                packet, source = channel.recvfrom(PACKET_BYTES_MAX + 1)
            except OSError:  # nothing left, or an ICMP error about a packet of ours
                return
            try:
                self._take(packet, (source[0], source[1]), now)
            except RemoteError as error:
                self._counters[error.reason] += 1
                if not self._strays.take(1.0, now):
                    self._turn_deaf()
                    return

    def _take(self, packet: bytes, source: Address, now: float) -> None:
        """Pass one packet on. Raises `RemoteError` if it does not open."""
        key_id = key_id_of(packet)
        path = self._by_key.get(key_id)
        connection = None if path is None else self._newest(path.peer)
        if path is None or connection is None:
            raise RemoteError("ping-unknown-key", "no key of ours")
        opened = next(opener for opener in path.openers if opener.key_id == key_id).open(packet)
        if not connection.admits_datagram():
            self._counters["datagram-dropped"] += 1
            return
        data = path.opened(connection, opened, source, now)
        if data is not None:
            connection.take_sealed(data)

    def _turn_deaf(self) -> None:
        self._counters["ping-flood"] += 1
        if self._counters["ping-flood"] == 1:
            log.warning("port %s gets many packets that no peer sent; pings go by QUIC meanwhile", self.port)
        self._stop()
        self._alarm = self._loop.call_later(DEAF_S, self._listen)

    def _listen(self) -> None:
        self._hears = bool(self._channels)
        for channel in self._channels.values():
            self._loop.add_reader(channel.fileno(), self._readable, channel)

    def _stop(self) -> None:
        self._hears = False
        for channel in self._channels.values():
            self._loop.remove_reader(channel.fileno())


def open_channels(listen: str, port: int | None) -> list[socket.socket]:
    """Bind a socket at the host of `listen`, and one of the other family, on one port.

    Empty for port None, and where the first cannot be bound, which the log says.
    """
    if port is None:
        return []
    host, _ = split_address(listen, "listen")
    is_six = ":" in host
    anywhere = ("127.0.0.1" if is_six else "::1") if is_loopback(host) else ("0.0.0.0" if is_six else "::")
    first = None
    for _ in range(TRIES if port == 0 else 1):
        if first is not None:
            first.close()  # its port is taken in the other family: try another one
        try:
            first = _bound(host, port)
        except OSError as error:
            where = join_address(host, port)
            log.warning("transport.ping_port: cannot bind UDP %s: %s; pings cost more by QUIC", where, error.strerror)
            return []
        try:
            return [first, _bound(anywhere, first.getsockname()[1])]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # this machine has only one family
                break
    return [first] if first is not None else []


def _bound(host: str, port: int) -> socket.socket:
    channel = socket.socket(_family(host), socket.SOCK_DGRAM)
    try:
        channel.setblocking(False)
        if channel.family == socket.AF_INET6:
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        channel.bind((host, port))
    except OSError:
        channel.close()
        raise
    return channel


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
