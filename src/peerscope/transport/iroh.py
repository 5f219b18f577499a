"""QUIC by iroh: only this file and `wire.py` import it.

Each end of a connection opens one unidirectional stream and writes length-prefixed messages to it; pings travel as
datagrams. If two peers dial each other at once, they have two connections. They read both and write to the newest, and
a third connection closes the oldest. So they need not agree on the one to drop.

Facts of iroh 1.2 that shaped this:

- It notices a killed remote only after half a minute, so the core pings by itself.
- `connect` to a dead port waits half a minute; a crawl stops earlier.
- While a connection with a peer exists, `connect` uses its path and ignores the given addresses. So we first close a
  connection with a dead process.
- Errors carry their text in `message()`.
- `close()` of a connection discards data that was not yet acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import iroh

from peerscope.core import Event
from peerscope.errors import ConfigError
from peerscope.host.addresses import is_direct, is_loopback, split_address
from peerscope.mesh.events import Breach, Connected, DialFailed, Disconnected, Lane, Received
from peerscope.records.identity import PeerId
from peerscope.transport.accept_policy import AcceptPolicy, Decision
from peerscope.transport.inbox import Inbox
from peerscope.transport.names import Names
from peerscope.transport.pings import Pings, open_channels
from peerscope.transport.relay import DEFAULT, DISABLED, RelayState
from peerscope.transport.wire import ANEW_S, Wire, connect, speed_up, text_of

FAST_BUFFERS = speed_up(iroh.iroh_ffi)
"""Bytes go to iroh in one piece; False for an unknown version of iroh."""
ALPN = b"peerscope/1"
DIAL_TIMEOUT_S = 30.0
"""A machine that starts many agents at once takes long for handshakes, and a dial that gives up loses its place in the
queue. With 10 s, 200 agents on two cores made no progress for a minute."""
ACCEPTORS = 16
"""Incoming connections to check at once. Each check takes a few turns of the event loop. One at a time, a late loop
would reach connections whose peers have given up."""
GOODBYE_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 1.5
"""Without a dead peer it takes a millisecond; an agent must stop within three seconds."""
CONNECTIONS_MAX = 512


class IrohTransport:
    """An iroh endpoint and its connections, by peer."""

    def __init__(
        self,
        endpoint: iroh.Endpoint,
        bound: str,
        dial_timeout_s: float,
        relays: frozenset[str] = frozenset(),
        names: Names | None = None,
        ping_port: int | None = None,
    ) -> None:
        """`relays`: relays that may be used, as iroh writes their URLs. `names`: of peers in our settings."""
        self.counters: Counter[str] = Counter()
        self._endpoint = endpoint
        self._bound = bound
        self._dial_timeout_s = dial_timeout_s
        self._relays = relays
        self._names = names or Names()
        self._wires: dict[PeerId, list[Wire]] = {}
        self._inbox = Inbox()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing: dict[asyncio.Task[None], PeerId] = {}
        """Goodbyes in progress, and their peers."""
        self._accept_policy = AcceptPolicy(local_only=is_loopback(split_address(bound, "listen")[0]))
        self._handshakes: dict[int, asyncio.Task[None]] = {}
        self.pings = Pings(self.peer_id, open_channels(bound, ping_port), self.counters, self._newest)
        for _ in range(ACCEPTORS):
            self._spawn(self._accept())

    @classmethod
    async def bind(
        cls,
        secret: bytes,
        listen: str,
        *,
        dial_timeout_s: float | None = None,
        relay: str = DISABLED,
        names: Names | None = None,
        ping_port: int | None = None,
    ) -> IrohTransport:
        """An endpoint with this Ed25519 seed, on this "ip:port" (port 0: any). `relay`: as in the settings.
        `ping_port`: for pings by UDP (0: any); None for QUIC only.

        Raises `ConfigError`.
        """
        mode = relay_mode(relay)
        options = iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr=listen,
            secret_key=secret,
            alpns=[ALPN],
            relay_mode=mode,
        )
        try:
            endpoint = await iroh.Endpoint.bind(options)
        except iroh.IrohError as error:
            raise ConfigError(
                f"cannot listen on {listen}: {text_of(error)}; choose another address or port with --listen"
            ) from error
        return cls(
            endpoint,
            _bound_socket(endpoint, listen),
            dial_timeout_s or DIAL_TIMEOUT_S,
            frozenset(mode.relay_map().urls()),
            names,
            ping_port,
        )

    @property
    def peer_id(self) -> PeerId:
        """The endpoint's id: the public half of its key."""
        return PeerId(bytes.fromhex(str(self._endpoint.id())))

    @property
    def addresses(self) -> tuple[str, ...]:
        found = self._endpoint.addr().direct_addresses()
        if is_loopback(split_address(self._bound, "listen")[0]):  # iroh lists a second, random socket as well
            return (self._bound,)
        return tuple(address for address in found if not is_loopback(split_address(address, "address")[0])) or (
            self._bound,
        )

    @property
    def home_relay(self) -> str | None:
        """URL of the relay through which others reach us; None without one, or before it answers."""
        return self._endpoint.addr().relay_url() if self._relays else None

    def reached_at(self, peer: PeerId) -> str | None:
        """IP at which our connection with a peer arrives, as QUIC validated it; None without one, or by a relay."""
        wire = self._newest(peer)
        found = wire.direct() if wire is not None else None
        return None if found is None else found[0]

    def relayed(self) -> frozenset[PeerId] | None:
        if not self._relays:
            return frozenset()
        return frozenset(peer for peer, wires in self._wires.items() if wires and wires[-1].is_relayed)

    def relay_state(self, mode: str) -> RelayState:
        """For people. `mode`: the setting."""
        relayed = self.relayed()
        return RelayState(mode, self.home_relay, None if relayed is None else len(relayed))

    @property
    def queued(self) -> int:
        outward = sum(wire.queued for wires in self._wires.values() for wire in wires)
        return len(self._inbox) + outward

    @property
    def ticket(self) -> str:
        endpoint_id = iroh.EndpointId.from_string(self.peer_id.hex())
        addr = iroh.EndpointAddr(endpoint_id, self.home_relay, list(self.addresses))
        return str(iroh.EndpointTicket.from_addr(addr))

    async def receive(self, timeout_s: float) -> list[Event]:
        return await self._inbox.take(timeout_s)

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None:
        wires = self._wires.get(to)
        if not wires:
            self.counters["send-unconnected"] += 1
        elif lane is Lane.DATAGRAM:
            if not self.pings.send(to, wires[-1], data):
                wires[-1].send_datagram(data)
        else:
            wires[-1].send(data)

    def dial(self, peer: PeerId, addresses: tuple[str, ...], *, afresh: bool = False) -> None:
        wires = self._unlink(peer) if afresh else []
        for wire in wires:
            wire.abort("silent")
        if wires:
            self._inbox.about(peer, Disconnected(peer, "silent"))
        self._spawn(self._dial(peer, addresses, ANEW_S if wires else ()))

    def hang_up(self, peer: PeerId, reason: str) -> None:
        for wire in self._unlink(peer):
            task = self._spawn(wire.finish(reason))
            self._finishing[task] = peer
            task.add_done_callback(self._finishing.pop)

    async def close(self) -> None:
        wires = [wire for wires in self._wires.values() for wire in wires]
        self._wires.clear()
        self.pings.close()
        if self._finishing:  # goodbyes in progress
            await asyncio.wait(self._finishing, timeout=GOODBYE_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        for wire in wires:
            wire.abort("closing")
        with contextlib.suppress(TimeoutError, iroh.IrohError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._endpoint.close()

    def _newest(self, peer: PeerId) -> Wire | None:
        wires = self._wires.get(peer)
        return wires[-1] if wires else None

    def _unlink(self, peer: PeerId) -> list[Wire]:
        """Remove the connections with a peer, to close them."""
        self.pings.forget(peer)
        return self._wires.pop(peer, [])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def inject(self, event: Event) -> None:
        """Pass an event of this process to the driver."""
        self._inbox.own(event)

    async def put(self, event: Received) -> None:
        """Pass a message to the driver."""
        await self._inbox.put(event)

    def put_datagram(self, event: Received) -> None:
        """Pass a datagram to the driver; dropped while many of its sender wait."""
        if not self._inbox.put_datagram(event):
            self.counters["datagram-dropped"] += 1

    def came_by_quic(self, peer: PeerId) -> None:
        """Note the way of a datagram: the answer takes it too."""
        self.pings.came_by_quic(peer)

    def take_offer(self, peer: PeerId, data: bytes) -> None:
        """Pass a frame about pings by UDP on."""
        self.pings.take_offer(peer, data)

    def breached(self, peer: PeerId, reason: str) -> None:
        """Report a breach of the protocol to the core."""
        self._inbox.about(peer, Breach(peer, reason))

    async def _dial(self, peer: PeerId, addresses: tuple[str, ...], anew_s: tuple[float, ...] = ()) -> None:
        goodbyes = [task for task, whom in self._finishing.items() if whom == peer]
        if goodbyes:  # until then a connection exists, see above
            await asyncio.wait(goodbyes)
        try:
            async with asyncio.timeout(self._dial_timeout_s):
                named = await self._names.addresses(peer)
                direct = [address for address in dict.fromkeys(named + addresses) if is_direct(address)]
                relay = next((address for address in addresses if address in self._relays), None)
                addr = iroh.EndpointAddr(iroh.EndpointId.from_string(peer.hex()), relay, direct)
                connection = await connect(self._endpoint, addr, ALPN, anew_s=anew_s)
        except (iroh.IrohError, TimeoutError) as error:
            self.counters["dial-failed"] += 1
            timed_out = isinstance(error, TimeoutError)
            self.inject(
                DialFailed(peer, f"no answer within {self._dial_timeout_s:g} s" if timed_out else text_of(error))
            )
        else:
            self._adopt(peer, connection, dialled=True)

    async def _accept(self) -> None:
        while (incoming := await self._endpoint.accept_next()) is not None:
            with contextlib.suppress(iroh.IrohError, ConfigError):  # ConfigError: an address that is none
                await self._open(incoming)

    async def _open(self, incoming: iroh.Incoming) -> None:
        """Begin a handshake, or refuse it."""
        now = asyncio.get_running_loop().time()
        came_from = await incoming.remote_addr()
        address = str(came_from.addr) if isinstance(came_from, iroh.IncomingAddr.IP) else None
        answer = self._accept_policy.ask(address, now, is_proved=await incoming.remote_addr_validated())
        if answer is Decision.PROVE_ADDRESS:
            await incoming.retry()
            return
        if answer is Decision.REFUSE or sum(len(wires) for wires in self._wires.values()) >= CONNECTIONS_MAX:
            self.counters["connection-refused"] += 1
            await incoming.refuse()
            return
        late = self._accept_policy.late(now)
        if late is not None:
            self._handshakes[late].cancel()
            self._accept_policy.ended(late)
        number = self._accept_policy.began(now)
        self._handshakes[number] = self._spawn(self._shake_hands(incoming, number))

    async def _shake_hands(self, incoming: iroh.Incoming, number: int) -> None:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                connection = await (await incoming.accept()).connect()
                peer = PeerId(bytes.fromhex(str(connection.remote_id())))
        except (iroh.IrohError, TimeoutError):
            self.counters["handshake-failed"] += 1
        else:
            self._adopt(peer, connection, dialled=False)
        finally:
            self._handshakes.pop(number, None)
            self._accept_policy.ended(number)

    def _adopt(self, peer: PeerId, connection: iroh.Connection, *, dialled: bool) -> None:
        wire = Wire(self, peer, connection)
        wires = self._wires.setdefault(peer, [])
        wires.append(wire)
        if len(wires) > 2:
            wires.pop(0).abort("replaced")
        self._inbox.about(peer, Connected(peer, dialled))
        self._spawn(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        reason = await wire.run()
        wire.abort(reason)
        wires = self._wires.get(wire.peer, [])
        if wire in wires:
            wires.remove(wire)
            if not wires:
                self._unlink(wire.peer)
                self._inbox.about(wire.peer, Disconnected(wire.peer, reason))


def parse_ticket(ticket: str) -> tuple[PeerId, tuple[str, ...]]:
    """Peer id and addresses of a ticket. Raises `ConfigError`."""
    try:
        addr = iroh.EndpointTicket.from_string(ticket.strip()).endpoint_addr()
    except iroh.IrohError as error:
        raise ConfigError(
            f"not a ticket: {ticket[:24]!r}... ({text_of(error)}); a ticket is printed by `peerscope run` "
            "and begins with 'endpoint'"
        ) from error
    relay = addr.relay_url()
    return PeerId(bytes.fromhex(str(addr.id()))), (*addr.direct_addresses(), *([relay] if relay else []))


def relay_mode(relay: str) -> iroh.RelayMode:
    """The setting for iroh. Raises `ConfigError`."""
    if relay == DISABLED:
        return iroh.RelayMode.disabled()
    if relay == DEFAULT:
        return iroh.RelayMode.default_mode()
    try:
        return iroh.RelayMode.custom_from_urls([relay])
    except iroh.IrohError as error:
        raise ConfigError(f"transport.relay is {relay!r}: {text_of(error)}") from error


def _bound_socket(endpoint: iroh.Endpoint, listen: str) -> str:
    """Find the socket of `listen`: iroh also binds another one, on a random port."""
    host = listen.rpartition(":")[0]
    return next((s for s in endpoint.bound_sockets() if s.rpartition(":")[0] == host), listen)
