"""The agent: puts every part together and runs them. The only file that knows all of them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from peerscope.agent.announced import AnnouncedAddresses
from peerscope.agent.bootstrap import LOOK_INTERVAL_S, Bootstrap
from peerscope.agent.event_log import EventLog
from peerscope.agent.expiry_log import ExpiryLog, of_membership, of_silences
from peerscope.agent.lookups import LookupRequests
from peerscope.agent.measurement import Measurement
from peerscope.agent.network_view import ABSENCE_S_MAX, NetworkView, SelfView
from peerscope.agent.node_dialler import NodeDialler
from peerscope.agent.notifications import Notifications
from peerscope.agent.own_facts import FactReader, node_event
from peerscope.agent.startup import core_config, prepare
from peerscope.agent.traffic import Traffic
from peerscope.alerts.context import labels_with_version
from peerscope.alerts.expiry import Expiry, membership
from peerscope.alerts.silences import (
    StandingAcknowledgement,
    StandingForget,
    StandingSilence,
    checked,
    parse_matchers,
)
from peerscope.config import Config
from peerscope.core import Core, Effect
from peerscope.errors import ConfigError, PeerscopeError
from peerscope.export.discovery import exporter_address
from peerscope.export.exports import Exports
from peerscope.history.recorder import Recorder, past_day
from peerscope.host.clock import monotonic, pause, stopwatch
from peerscope.host.credentials import CredentialFiles
from peerscope.host.machine_identity import own_host
from peerscope.host.memory import shrinking
from peerscope.host.signature_files import load_signatures
from peerscope.host.state import StateDirectory, default_state
from peerscope.host.version import __version__
from peerscope.mesh.events import Leave, Publish, Recall, WallClock
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.notify.schedule import SilenceTimes
from peerscope.records.bodies import PlannedAbsence, Profile
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import PeerId, short
from peerscope.sources.base import Source
from peerscope.sources.events import Event, Message
from peerscope.sources.geo import Lookup, country
from peerscope.sources.host import Host
from peerscope.sources.memory_kills import FILE as LIFE_FILE
from peerscope.sources.memory_kills import MemoryKills
from peerscope.sources.node import Node
from peerscope.threats.blocks import to_share
from peerscope.transport.base import Transport
from peerscope.transport.driver import Driver
from peerscope.transport.iroh import IrohTransport
from peerscope.transport.names import Names
from peerscope.views.places import NOWHERE, Place
from peerscope.views.traces import HopEvent

CLOCK_STEP_S = 0.01
FACTS_INTERVAL_S = 1.0
ANSWER_S = 0.2
"""Time for the answer to an operator who asks the agent to leave."""


class Monitor(NetworkView):
    """One running peer. Use it as an async context manager, or `start` and `stop` it."""

    def __init__(self, config: Config, state: Path | None = None) -> None:
        """`state`: the state directory. Nothing is opened before `start`. Raises `ConfigError` for a wrong source."""
        super().__init__()
        config.check()
        self.config = config
        self.state = StateDirectory(state or default_state())
        self.http: str | None = None
        """URL of the dashboard, once the web server has one."""
        self.event_log = EventLog(self.failure_log)
        """Events as they happen."""
        self.notifications = Notifications(config, self.state, self.failure_log)
        """Orders of the operator, and messages to people."""
        self.traffic: Traffic
        """Messages and bytes, by route and by second; from `start` on."""
        self.node = Node(config.node, config.report.interval_s, random.Random(secrets.randbits(128)))
        """The P2P program beside this peer, where one is attached."""
        self.recorder: Recorder | None = None
        """Writes measurements over time; None before the start, and where `history.enabled` is false."""
        self.lookups = LookupRequests(lambda event: self._driver.feed(event))
        """Questions to other zones."""
        self.exports = Exports(config.export, self)
        """Sends metrics and traces to other tools."""
        self.leaving = asyncio.Event()
        """An operator asked this agent to leave: its owner stops it."""
        self._planned: PlannedAbsence | None = None
        self._announced = AnnouncedAddresses()
        self._node_dialler: NodeDialler
        self._expiry_log = ExpiryLog()
        self._memory_kills = MemoryKills(self.state.path / LIFE_FILE)
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None]
        self._started_at = monotonic()
        self._bootstrap: Bootstrap
        self._credentials: CredentialFiles
        self._driver: Driver
        self._transport: IrohTransport

    async def __aenter__(self) -> Monitor:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Take the state directory, open the endpoint, join. Raises `ConfigError`."""
        self.state.lock()
        try:
            secret, identity = self.state.secret(), self.state.identity()
            ready = await prepare(self.config, identity.peer_id, self.state.path)
            self._credentials = ready.files
            names = Names({known: start.names for known, start in ready.joins.items()})
            try:
                config = self.config.transport
                self._transport = await IrohTransport.bind(
                    secret, ready.listen, relay=config.relay, names=names, ping_port=config.pings
                )
            except ConfigError as error:
                raise ConfigError(f"peer.listen: {error}") from None
        except BaseException:
            self.state.unlock()
            raise
        self._failed = asyncio.get_running_loop().create_future()
        rng = random.Random(secrets.randbits(128))
        now = monotonic()
        peer = Peer(identity, self.config.core(), rng, Clocks(now, time.time() - now))
        core = Core(core_config(self.config), peer, now, time.time() - now, stopwatch)
        self.traffic = Traffic(peer.me, self.snapshot, peer.links.ahead_s)
        self._driver = Driver(core, self._transport, self._note, self.traffic.mesh)
        self._driver.feed(ready.credentials)
        self._node_dialler = NodeDialler(
            self._transport.reached_at, self._driver.feed, lambda: self._transport.addresses
        )
        self._bootstrap = Bootstrap(self.state, ready.joins, rng)
        self._driver.feed(Recall((), self._bootstrap.zone))
        self.notifications.open(self._driver)
        self._driver.feed(Publish(self._profile(ready.look_up), urgent=True))
        if self.config.threats.share and self.config.threats.blocked:
            self._driver.feed(Publish(to_share(self.config.threats.blocked)))
        for join in self._bootstrap.first():
            self._driver.feed(join)
        host = Host(self.config.health, self.state.path)
        self.node.telemetry.on_event.append(self._note_of_node)
        interval_s, failure_log = self.config.report.interval_s, self.failure_log
        measurement = Measurement(host, self._driver, self._transport, interval_s, self.node, failure_log)
        going = failure_log.going
        parts = [self._driver.run(), self._read_clock()]  # nothing they do can fail, but by a bug in the core
        parts += [going("the measurements", measurement.run), going("the node", self.node.run)]
        parts += [going("joining", self._join), going("the facts of this agent", self._read_facts)]
        if self.config.history.enabled:
            self.recorder = Recorder(
                self.config.history, self.state.path, self.snapshot, self.network_health, failure_log
            )
            self.recorder.verdict_log = core.news.verdict_log
            parts.append(going("the history", self.recorder.run))
            parts.append(going("availability", self.recorder.refresh_availability))
        parts += [*(going("remote write", run) for run in self.exports.parts())]
        parts += [self.notifications.run(), *shrinking()]
        for work in parts:
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Say goodbye, and close everything within three seconds."""
        if not self._tasks:
            return
        self._driver.feed(Leave(self._planned))
        await asyncio.sleep(0.05)  # one turn of the driver: the goodbyes are queued
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        closing = [self._transport.close(), self.exports.close()]
        await asyncio.gather(*closing, *([self.recorder.close()] if self.recorder else []))
        self._bootstrap.keep(self.peer)
        self._memory_kills.close()
        self._node_dialler.close()
        self.state.unlock()

    async def wait(self) -> None:
        """Until a part of the agent fails; raises what it raised."""
        await self._failed

    def attach(self, name: str, source: Source) -> None:
        """Ask this source too, after those of the settings: for a node in the same process.

        Call it before `start`, or from the agent's own event loop.
        """
        self.node.attach(name, source)

    # -- what one sees ---------------------------------------------------------------------------

    @property
    def core(self) -> Core:
        """The core, to look at."""
        return self._driver.core

    @property
    def transport(self) -> Transport:
        """Connections to other peers, to look at."""
        return self._transport

    def clock(self) -> tuple[float, float]:
        """Monotonic seconds now, and what turns them into Unix seconds."""
        now = monotonic()
        return now, time.time() - now

    def silence(
        self, matchers: Iterable[str], for_s: float, author: str, reason: str, when: SilenceTimes | None = None
    ) -> StandingSilence:
        """Hold back messages about alerts that all matchers ("rule=cpu-*") fit. Raises `ConfigError`.

        `when`: in advance, once or again and again; None for at once.
        """
        known = checked(parse_matchers(matchers), self.snapshot(), self.core.alerts.names)
        given = [f"{field}={pattern}" for field, pattern in known]
        return self.notifications.book.silence(given, for_s, author, reason, when)

    def lift(self, silence: str) -> bool:
        """End a silence, wherever it was ordered. False if none of this id holds."""
        return self.notifications.book.lift(silence)

    def acknowledge(self, key: str, author: str, reason: str = "") -> StandingAcknowledgement:
        """Somebody looks after this alert, or the alerts that this incident holds now. Raises `ConfigError`."""
        groups = self.core.alerts.groups(self.snapshot(), self.config.notify.url)
        held = next((one.alerts for one in groups if one.key == key and one.incident is not None), ())
        return self.notifications.book.acknowledge(key, author, reason, [alert.id for alert in held])

    def forget(self, peer: PeerId, author: str, reason: str = "", *, force: bool = False) -> StandingForget:
        """Have the whole network forget a known peer until it speaks again; one that is alive only by `force`.

        Raises `ConfigError`.
        """
        return self.notifications.forget(peer, author, reason, force=force)

    def remember(self, peer: PeerId) -> bool:
        """Take back that a peer is forgotten, wherever it was ordered. False if it is not forgotten."""
        return self.notifications.book.remember(peer)

    def leave(self, reason: str, for_s: float | None = None) -> None:
        """Leave for planned work, in a moment: `leaving` is then set. `for_s`: the peer is back within so long.

        Raises `ConfigError`.
        """
        if not (reason.strip() and len(reason) <= 160 and reason.isprintable()):
            raise ConfigError(f"reason is {reason[:80]!r}; must be 1 to 160 printable characters")
        if for_s is not None and not 1.0 <= for_s <= ABSENCE_S_MAX:
            raise ConfigError(f"an absence of {for_s:g} s; lasts between a second and {ABSENCE_S_MAX / 86400:.0f} days")
        self._planned = PlannedAbsence(None if for_s is None else round(for_s * 1000), reason.strip())
        asyncio.get_running_loop().call_later(ANSWER_S, self.leaving.set)

    def reload_signatures(self) -> list[str]:
        """Read the signatures of threats again; what changed, in words. Raises `ConfigError`, and the old ones stay."""
        signatures, threats = load_signatures(self.config.threats.signatures_file), self.core.threats.threats
        changes = threats.signatures.changes(signatures)
        threats.use(signatures)
        return changes

    def self_view(self) -> SelfView:
        """This peer."""
        declared = self.config.peer.region
        place = self.snapshot().places.get(self.peer.me, Place(declared, "declared") if declared else NOWHERE)
        return SelfView(
            peer_id=self.peer.me.hex(),
            short_id=short(self.peer.me),
            ticket=self._transport.ticket,
            network=self.config.network.name,
            region=place.region,
            region_source=place.source,
            version=__version__,
            uptime_s=monotonic() - self._started_at,
            node=self.node.name,
            http=self.http,
            addresses=self._transport.addresses,
            refused=dict(self.peer.refused + self._transport.counters),
            keeps_history=self.config.history.enabled,
            relay=self._transport.relay_state(self.config.transport.relay),
            shared_key=self.peer.shared_key.running(monotonic()),
            remote_write=self.exports.standing(),
            heartbeat=self.notifications.heartbeat(),
            pings=self._transport.pings.state,
        )

    def endings(self) -> tuple[Expiry, ...]:
        """Everything of this agent's that has an end: its certificate as a member, and that of the dashboard."""
        ours = self.peer.admission.certificate
        return (*([membership(ours)] if ours is not None else []), *self._files())

    # -- inside ----------------------------------------------------------------------------------

    def _files(self) -> tuple[Expiry, ...]:
        ending = self.tls.ending if self.tls is not None else None
        return () if ending is None else (ending,)

    def _note(self, effect: Effect) -> None:
        for note in (
            self.event_log.note,
            self.traffic.note,
            self.lookups.note,
            self.notifications.note,
            self._node_dialler.note,
        ):
            with self.failure_log.at("the note of an event"):
                note(effect)

    def _profile(self, look_up: Lookup | None) -> Profile:
        addresses = self._transport.addresses[:8]
        found = country(addresses, look_up) if look_up else None
        return Profile(
            addresses=addresses,
            region=found or self.config.peer.region,
            version=__version__,
            started_at_ms=round(time.time() * 1000),
            region_source="country" if found else "declared",
            node=self.node.name,
            roles=(*self.exports.roles, *self.notifications.roles),
            exporter=exporter_address(self.config.export, self.http, addresses),
            relay=self._transport.home_relay,
            host=self._host(addresses),
            dials=self.config.node.dial_others,
        )

    def _host(self, addresses: Sequence[str]) -> HostTokens | None:
        network = self.config.network
        return own_host(network.secret, network.name, addresses)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._failed.done():
            error = task.exception() or PeerscopeError("a part of the agent ended by itself")
            self._failed.set_exception(error)

    def _note_of_node(self, event: Event) -> None:
        match event:
            case Message(direction, size_bytes):
                self.traffic.node_message(size_bytes, sent=direction == "out")
            case HopEvent():
                self.traffic.hop(event)
            case _:
                pass
        known = node_event(event)
        if known is not None:  # in this very moment, not in a turn of its own: there may be thousands in a second
            self.core.handle(known, monotonic())

    def _introduce(self) -> None:
        """Say whom we stand beside and where we are reached, when that has changed."""
        said = self.peer.ledger.profile(self.peer.me)
        if said is not None:
            labels = labels_with_version(said.labels, self.node.version)
            reached_at = self._transport.addresses[:8]
            has_moved = set(said.addresses) != set(reached_at)
            told = replace(
                said,
                addresses=reached_at if has_moved else said.addresses,
                node=self.node.name,
                node_id=self.node.node_id,
                labels=labels,
                relay=self._transport.home_relay or said.relay,
                host=self._host(reached_at) if has_moved else said.host,
                roles=(*self.exports.roles, *self.notifications.roles),
                node_addresses=self._announced.chosen(
                    self.node.addresses if self.config.node.dial_back else (), reached_at, monotonic()
                ),
            )
            if told != said:
                self._driver.feed(Publish(told, urgent=True))

    async def _read_clock(self) -> None:
        """Send the core an event when the wall clock moves against the monotonic one."""
        sent_s = time.time() - monotonic()
        while True:
            await pause(1.0, self.peer.grid.near)
            offset_s = time.time() - monotonic()
            if abs(offset_s - sent_s) > CLOCK_STEP_S:
                sent_s = offset_s
                self._driver.feed(WallClock(offset_s))

    async def _read_facts(self) -> None:
        """Give the core what only the agent can see, and once what an earlier life saw of the last day."""
        if self.recorder is not None:
            with self.failure_log.at("the recall of the last day"):
                self.core.news.day.restore(await past_day(self.recorder, int(time.time())))
        reader = FactReader(self.node, self.traffic, self._memory_kills)
        while True:
            trouble = self.recorder.trouble if self.recorder else None
            found = reader.facts(monotonic(), trouble, self._files(), self.exports.trouble)
            for event in [*found, *reader.node()]:
                self._driver.feed(event)
            await pause(FACTS_INTERVAL_S, self.peer.grid.near)

    async def _join(self) -> None:
        while True:
            await pause(LOOK_INTERVAL_S, self.peer.grid.near)
            with self.failure_log.at("the profile"):
                self._introduce()
            with self.failure_log.at("the look at endings"):
                ends = (*of_membership(self.peer.admission), *self._files(), *of_silences(self.orders()))
                self._expiry_log.look(ends, time.time())
            with self.failure_log.at("the look at certificates"):
                for read in self._credentials.look(self.peer.admission, round(time.time() * 1000)):
                    self._driver.feed(read)
            with self.failure_log.at("the look for peers"):
                for join in self._bootstrap.look(self.peer, self.event_log.send):
                    self._driver.feed(join)
