"""The agent: puts every part together and runs them. The only file that knows all of them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from peerscope import __version__
from peerscope.config import Config
from peerscope.errors import PeerscopeError
from peerscope.mesh.events import Effect, Forgotten, Join, Leave, LinkChanged, Measured, Publish, Stored, WallClock
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Observations, Profile
from peerscope.records.identity import PeerId, short
from peerscope.sources.geo import Lookup, country, country_table
from peerscope.sources.host import FIRST_SAMPLE_S, Host
from peerscope.state import State, default_state
from peerscope.transport.driver import Driver
from peerscope.transport.iroh import IrohTransport, parse_ticket
from peerscope.views.changes import VerdictChanges
from peerscope.views.health import NetworkHealth, network_health
from peerscope.views.links import Link
from peerscope.views.moment import Moment
from peerscope.views.peers import PeerView, peer_view, peer_views, status
from peerscope.views.places import NOWHERE, Place
from peerscope.views.region_changes import RegionChanges
from peerscope.views.regions import RegionHealth, region_health
from peerscope.views.timeline import Change, Timeline
from peerscope.views.topology import Survey, Topology

REVIEW_S = 0.25
JUDGE_S = 0.02
TIMELINE_S = 1.0
REGIONS_S = 5.0
REMEMBER_S = 2.0
KEEP_S = 10.0
REMEMBERED_MAX = 256
DIALLED_AT_ONCE_MAX = 16
MOMENT_S = 0.1
CLOCK_STEP_S = 0.01

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]


class SelfView(Struct, frozen=True):
    """This peer."""

    peer_id: str
    short_id: str
    ticket: str
    network: str
    region: str | None
    region_source: str | None
    version: str
    uptime_s: float
    node: str | None
    http: str | None
    addresses: tuple[str, ...]
    refused: dict[str, int]
    """What other peers sent that was refused, by reason."""


class Monitor:
    """One running peer. Use it as an async context manager, or `start` and `stop` it."""

    def __init__(self, config: Config, state: Path | None = None) -> None:
        """`state`: the state directory. Nothing is opened before `start`."""
        self.config = config
        self.state = State(state or default_state())
        self.http: str | None = None
        """URL of the dashboard, once the web server has one."""
        self.timeline = Timeline()
        self._survey = Survey()
        self._listeners: list[Listener] = []
        self._changes = VerdictChanges()
        self._regions = RegionChanges(config.regions.hold_s)
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None]
        self._judging: asyncio.TimerHandle | None = None
        self._kept: dict[PeerId, tuple[str, ...]] = {}
        self._kept_at = -math.inf
        self._tickets: dict[PeerId, tuple[str, ...]] = {}
        """Peers of tickets that nobody has been told about."""
        self._reserve: list[tuple[PeerId, tuple[str, ...]]] = []
        """Remembered peers that were not dialled yet."""
        self._moment: Moment | None = None
        self._moment_revision = -1
        self._started_at = time.monotonic()
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
            tickets = [parse_ticket(ticket) for ticket in self.config.peer.join]
            wants_country = self.config.peer.geo and not self.config.peer.region
            look_up = country_table(self.config.peer.geo_database) if wants_country else None
            self._transport = await IrohTransport.bind(secret, self.config.peer.listen)
        except BaseException:
            self.state.unlock()
            raise
        self._failed = asyncio.get_running_loop().create_future()
        rng = random.Random(secrets.randbits(128))
        now = time.monotonic()
        peer = Peer(identity, self.config.core(), rng, now, wall_offset_s=time.time() - now)
        self._driver = Driver(peer, self._transport, self._effect)
        self._driver.feed(Publish(self._profile(look_up), urgent=True))
        remembered = list(self.state.remembered().items())
        rng.shuffle(remembered)
        self._tickets, self._reserve = dict(tickets), remembered
        for known, addresses in tickets:
            self._driver.feed(Join(known, addresses))
        self._dial_remembered()
        host = Host(self.config.health, self.state.path)
        for work in (self._driver.run(), self._measure(host), self._read_clock(), self._review(), self._remember()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Say goodbye, and close everything within five seconds."""
        if not self._tasks:
            return
        self._driver.feed(Leave())
        await asyncio.sleep(0.05)  # one turn of the driver: the goodbyes are queued
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._transport.close()
        self._keep_peers()
        self.state.unlock()

    async def wait(self) -> None:
        """Until a part of the agent fails; raises what it raised."""
        await self._failed

    def listen(self, listener: Listener) -> None:
        """Call with every event: {"event": "link" | "verdict" | "status", "at": ...}."""
        self._listeners.append(listener)

    # -- what one sees ---------------------------------------------------------------------------

    @property
    def peer(self) -> Peer:
        """The core, to look at."""
        return self._driver.peer

    def moment(self) -> Moment:
        """The ledger now; the same one for callers within a tenth of a second, while nothing changes."""
        now, revision = time.monotonic(), self.peer.ledger.revision
        if self._moment is None or now - self._moment.now > MOMENT_S or revision != self._moment_revision:
            self._moment, self._moment_revision = self._fresh_moment(now), revision
        return self._moment

    def network_health(self) -> NetworkHealth:
        """Counts, latency and connectivity of the whole network."""
        return network_health(self.moment(), self.config.links.rings, self.mesh_links())

    def topology(self) -> Topology:
        """The map: peers, links on every layer, and where the network would come apart."""
        return self._survey.at(self.moment())

    def mesh_links(self) -> list[Link]:
        """Links between agents, both ends merged."""
        return self._survey.links.mesh(self.moment())

    def peers(self) -> list[PeerView]:
        """All known peers."""
        return peer_views(self.moment())

    def peer_view(self, peer: PeerId) -> PeerView:
        """One known peer."""
        return peer_view(self.moment(), peer)

    def history(self, peer: PeerId) -> tuple[Change, ...]:
        """The last hour's statuses of one peer."""
        return self.timeline.of(peer)

    def region_health(self) -> list[RegionHealth]:
        """Every region of the network."""
        return region_health(self.moment(), self.config.regions, self.config.links.rings, self.mesh_links())

    def self_view(self) -> SelfView:
        """This peer."""
        declared = self.config.peer.region
        place = self.moment().places.get(self.peer.me, Place(declared, "declared") if declared else NOWHERE)
        return SelfView(
            peer_id=self.peer.me.hex(),
            short_id=short(self.peer.me),
            ticket=self._transport.ticket,
            network=self.config.network.name,
            region=place.region,
            region_source=place.source,
            version=__version__,
            uptime_s=time.monotonic() - self._started_at,
            node=None,
            http=self.http,
            addresses=self._transport.addresses,
            refused=dict(self.peer.refused + self._transport.counters),
        )

    # -- inside ----------------------------------------------------------------------------------

    def _profile(self, look_up: Lookup | None) -> Profile:
        addresses = self._transport.addresses[:8]
        found = country(addresses, look_up) if look_up else None
        return Profile(
            addresses=addresses,
            region=found or self.config.peer.region,
            version=__version__,
            started_at_ms=round(time.time() * 1000),
            region_source="country" if found else "declared",
        )

    def _fresh_moment(self, now: float) -> Moment:
        return Moment(
            self.peer.ledger,
            self.peer.me,
            now,
            wall_offset_s=time.time() - now,
            down_after_s=self.config.detector.down_after_s,
            by_prefix=self.config.network.public,
            clusters=self.config.regions.cluster,
        )

    def _effect(self, effect: Effect) -> None:
        match effect:
            case LinkChanged(peer, up, reason):
                self._tell("link", peer_id=peer.hex(), up=up, reason=reason)
            case Stored(entry) if isinstance(entry.body, Observations | Profile):
                self._judge_in(JUDGE_S)  # what comes together is judged together
            case Forgotten(peer):
                self.timeline.forget(peer)
            case _:
                pass

    def _judge_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._judging is not None:
            if self._judging.when() <= loop.time() + seconds:
                return
            self._judging.cancel()
        self._judging = loop.call_later(seconds, self._judge)

    def _judge(self) -> None:
        self._judging = None
        try:
            self._tell_verdicts()
        except Exception:  # what other peers say must not end the judging
            log.exception("the verdicts on peers failed")
        if not self._changes.is_calm and self._tasks:  # then verdicts also change with time alone
            self._judge_in(REVIEW_S)

    def _tell_verdicts(self) -> None:
        for change in self._changes.update(self._fresh_moment(time.monotonic())):
            self._tell(
                "verdict",
                peer_id=change.peer.hex(),
                verdict=change.verdict.value,
                majority=change.majority,
                accused_by=change.accused_by,
                observers=change.observers,
            )

    def _judge_regions(self) -> None:
        for change in self._regions.update(self.region_health(), time.monotonic()):
            self._tell("region", **msgspec.structs.asdict(change))

    def _tell(self, event: str, **values: object) -> None:
        message = {"event": event, "at": time.time(), **values}
        for listener in self._listeners:
            listener(message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._failed.done():
            error = task.exception() or PeerscopeError("a part of the agent ended by itself")
            self._failed.set_exception(error)

    async def _measure(self, host: Host) -> None:
        await asyncio.sleep(FIRST_SAMPLE_S)
        while True:
            self._driver.feed(Measured(await host.measure()))
            await asyncio.sleep(self.config.report.interval_s)

    async def _read_clock(self) -> None:
        """Tell the core when the wall clock moves against the monotonic one."""
        told = time.time() - time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            offset_s = time.time() - time.monotonic()
            if abs(offset_s - told) > CLOCK_STEP_S:
                told = offset_s
                self._driver.feed(WallClock(offset_s))

    async def _review(self) -> None:
        """Once a second: statuses for the timeline; now and then the regions."""
        await asyncio.sleep(REVIEW_S)  # our own profile is in the ledger by then
        judged_at = 0.0
        while True:
            try:
                self._write_timeline()
                self._tell_unreached()
                if time.monotonic() - judged_at >= REGIONS_S:
                    judged_at = time.monotonic()
                    self._judge_regions()
            except Exception:  # what other peers say must not end the review
                log.exception("the review of peers failed")
            await asyncio.sleep(TIMELINE_S)

    def _write_timeline(self) -> None:
        moment = self.moment()
        for peer in moment.peers:
            state = status(moment, peer)
            if self.timeline.observe(peer, state, moment.wall):
                self._tell("status", peer_id=peer.hex(), status=state)

    def _dial_remembered(self) -> None:
        """Some of them: those of long ago may be gone, and most of them never have to be asked."""
        for known, addresses in self._reserve[:DIALLED_AT_ONCE_MAX]:
            self._driver.feed(Join(known, addresses))
        del self._reserve[:DIALLED_AT_ONCE_MAX]

    def _tell_unreached(self) -> None:
        """Tickets whose peer did not answer, each once."""
        for known in sorted(self.peer.neighbourhood.unreached(time.monotonic()) & set(self._tickets)):
            addresses = self._tickets.pop(known)
            log.warning("peer %s of a ticket does not answer at %s; still trying", short(known), ", ".join(addresses))
            self._tell("unreached", peer_id=known.hex(), addresses=addresses)

    async def _remember(self) -> None:
        while True:
            await asyncio.sleep(REMEMBER_S)
            if not self.peer.watch.up():
                self._dial_remembered()
            if time.monotonic() - self._kept_at >= KEEP_S:
                self._keep_peers()

    def _keep_peers(self) -> None:
        """Write down where others are, when that has changed: a killed agent must find them again."""
        ledger, living = self.peer.ledger, self.peer.neighbourhood.rings.members() - {self.peer.me}
        found = ((peer, ledger.profile(peer)) for peer in sorted(living)[:REMEMBERED_MAX])
        known = {peer: profile.addresses for peer, profile in found if profile}
        if not known or known == self._kept:  # one that has lost everybody keeps those it knew
            return
        self._kept, self._kept_at = known, time.monotonic()
        try:
            self.state.remember(known)
        except OSError as error:  # a full disk must not stop the agent
            log.warning("cannot remember peers in %s: %s", self.state.path, error.strerror)
