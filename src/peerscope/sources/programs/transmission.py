"""A Transmission daemon, asked over its RPC. Checked with Transmission 3.00; 4.x answers the same questions.

As a source: `transmission:URL`, with `#user=NAME&password_file=FILE` where it wants a password. Every request needs the
header `X-Transmission-Session-Id`. An answer 409 names the value, which changes from time to time.

Transmission is late or wrong in this:
- It does not say how many DHT nodes it knows. "Peers by source" shows only whether the DHT finds peers.
- Its bytes are the payload since it started, without the protocol.
- A tracker that died shows with the next announcement, half an hour later with most trackers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import SourceError
from peerscope.host.clock import monotonic
from peerscope.records.measures import Count, NodeMetrics
from peerscope.records.texts import Name
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import LOGIN, OPTIONS, Endpoint, decoded
from peerscope.sources.place import NodePlace, parse_place
from peerscope.sources.programs.bittorrent import TrackerCount, torrent_measures

DEFAULT = "http://127.0.0.1:9091"
PATH = "/transmission/rpc"
SESSION_HEADER = "X-Transmission-Session-Id"
SESSION_HEADER_MAX = 200
TRACKERS_S = 30.0
"""Between questions about trackers: they make most of an answer, and change with announcements only."""
STOPPED = 0
LOCAL_ERROR = 3
"""The value of `error` for a missing file or a full disk, say. 1 and 2 come from trackers."""
TORRENTS_MAX = 100_000
T = TypeVar("T")
Word = Annotated[str, Meta(max_length=4096)]


class TorrentTracker(Struct, frozen=True, rename="camel"):
    """The last announcement of a torrent to one tracker."""

    announce: Word
    has_announced: bool = False
    last_announce_succeeded: bool = False
    last_announce_timed_out: bool = False


class _PeerSources(Struct, frozen=True, rename="camel"):
    from_dht: Count = 0
    from_incoming: Count = 0
    from_pex: Count = 0
    from_tracker: Count = 0


class _Torrent(Struct, frozen=True, rename="camel"):
    status: int
    error: int = 0
    peers_connected: Count = 0
    peers_from: _PeerSources = _PeerSources()


class _Torrents(Struct, frozen=True):
    torrents: Annotated[tuple[_Torrent, ...], Meta(max_length=TORRENTS_MAX)]


class _Announced(Struct, frozen=True, rename="camel"):
    status: int
    tracker_stats: Annotated[tuple[TorrentTracker, ...], Meta(max_length=1000)] = ()


class _AllAnnounced(Struct, frozen=True):
    torrents: Annotated[tuple[_Announced, ...], Meta(max_length=TORRENTS_MAX)]


class _SessionBytes(Struct, frozen=True, rename="camel"):
    uploaded_bytes: Count
    downloaded_bytes: Count


class _SessionTotals(Struct, frozen=True):
    current: _SessionBytes = msgspec.field(name="current-stats")


class _DaemonSession(Struct, frozen=True):
    version: Name
    dht_enabled: bool | None = msgspec.field(default=None, name="dht-enabled")


class _TransmissionAnswer(Struct, frozen=True):
    result: Annotated[str, Meta(max_length=400)]
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class TransmissionSource:
    """One daemon's RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: "URL" with options; empty for this machine's daemon. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._endpoint = Endpoint(NodePlace(place.address or DEFAULT, "", place.options), DEFAULT, login=LOGIN)
        self._session = ""
        self._trackers = TrackerCount(())
        self._trackers_due = 0.0

    async def read(self) -> Reading:
        """Read torrents, peers, bytes and trackers. Raises `SourceError`."""
        session = self._ask("session-get", ["version", "dht-enabled"], _DaemonSession)
        totals = self._ask("session-stats", [], _SessionTotals).current
        torrents = self._ask("torrent-get", ["status", "error", "peersConnected", "peersFrom"], _Torrents).torrents
        now = monotonic()
        if now >= self._trackers_due:
            self._trackers = TrackerCount(self._announcements())
            self._trackers_due = now + TRACKERS_S
        peers = sum(one.peers_connected for one in torrents)
        return Reading(
            node="transmission",
            version=session.version,
            metrics=NodeMetrics(
                active_connections=peers,
                p2p_peers=peers,
                received_bytes=totals.downloaded_bytes,
                sent_bytes=totals.uploaded_bytes,
            ),
            measures=torrent_measures(
                torrents=len(torrents),
                torrents_failing=sum(one.error == LOCAL_ERROR for one in torrents),
                trackers=self._trackers,
                dht_nodes=None,
            ),
            details={
                "dht": {True: "on", False: "off", None: None}[session.dht_enabled],
                "torrents_stopped": float(sum(one.status == STOPPED for one in torrents)),
                "trackers_failing_hosts": self._trackers.failing_hosts,
                "peers_from_dht": float(sum(one.peers_from.from_dht for one in torrents)),
                "peers_from_incoming": float(sum(one.peers_from.from_incoming for one in torrents)),
                "peers_from_pex": float(sum(one.peers_from.from_pex for one in torrents)),
                "peers_from_tracker": float(sum(one.peers_from.from_tracker for one in torrents)),
            },
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _announcements(self) -> Iterator[tuple[str, bool]]:
        for torrent in self._ask("torrent-get", ["status", "trackerStats"], _AllAnnounced).torrents:
            if torrent.status == STOPPED:  # its last announcement may be of last year
                continue
            for one in torrent.tracker_stats:
                if one.has_announced:
                    yield one.announce, one.last_announce_succeeded and not one.last_announce_timed_out

    def _ask(self, method: str, fields: list[str], kind: type[T]) -> T:
        question = msgspec.json.encode({"method": method, "arguments": {"fields": fields} if fields else {}})
        url = self._endpoint.at(PATH)
        for _ in range(2):
            headers = {SESSION_HEADER: self._session, "Content-Type": "application/json"}
            page = self._endpoint.post(PATH, question, headers=headers, accepted=(409,))
            if page.status != 409:
                break
            self._session = page.headers.get(SESSION_HEADER) or ""
            if not 0 < len(self._session) <= SESSION_HEADER_MAX or not self._session.isprintable():
                raise SourceError(f"{url} answers 409 without {SESSION_HEADER}: it is not Transmission")
        else:
            raise SourceError(f"{url} refuses the session id that it gave")
        answer = decoded(page, _TransmissionAnswer, url)
        if answer.result != "success":
            raise SourceError(f"transmission answers {answer.result} to {method}")
        try:
            return msgspec.json.decode(answer.arguments, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise SourceError(f"transmission answers {method} with something else: {error}") from None
