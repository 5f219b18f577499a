"""A libtorrent session in this very process. Checked with libtorrent 2.1.1 from PyPI; 2.0 has the same methods.

A program in Python hands over its session:

    monitor.attach("libtorrent", LibtorrentSource(session))

The source takes no alerts, since `pop_alerts` would take them from the program. It calls `session.status()`, which is
deprecated but the only way to totals and DHT nodes without alerts. A build without it lacks these two.

libtorrent is late or wrong in this:
- Its bytes are the payload. Its other totals count the IP headers of some packets, and not those of others.
- A peer shared by two torrents counts twice.
- Statistics of a paused session stand still.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from peerscope.errors import SourceError
from peerscope.host.clock import monotonic
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.programs.bittorrent import TrackerCount, torrent_measures

TRACKERS_S = 60.0
"""Between questions about trackers: each torrent costs a call."""
DHT_ID_BYTES = 20


class LibtorrentSource:
    """One session as a source."""

    def __init__(self, session: Any) -> None:
        """`session`: a `libtorrent.session`. Its methods may be called from any thread."""
        # Not for each call: warnings belong to all threads of the program.
        warnings.filterwarnings("ignore", r".* is deprecated", DeprecationWarning, re.escape(__name__))
        self._session = session
        self._trackers = TrackerCount(())
        self._trackers_due = 0.0
        self._id: str | None = None

    async def read(self) -> Reading:
        """Read torrents, peers, bytes, DHT and trackers. Raises `SourceError`."""
        session = self._session
        try:
            states = session.get_torrent_status(lambda _: True, 0)  # one call, not one for each torrent
            now = monotonic()
            if now >= self._trackers_due:
                self._trackers = TrackerCount(_announcements(session))
                self._id = self._id if session.is_dht_running() and self._id else _dht_id(session)
                self._trackers_due = now + TRACKERS_S
            totals = _call(session, "status")
            dht_nodes = 0 if not session.is_dht_running() else None if totals is None else int(totals.dht_nodes)
        except RuntimeError as error:  # what the bindings raise for an error of C++
            raise SourceError(f"the session does not answer: {error}") from None
        return Reading(
            node="libtorrent",
            node_id=self._id,
            version=_version(),
            metrics=NodeMetrics(
                active_connections=sum(int(one.num_connections) for one in states),
                p2p_peers=sum(int(one.num_peers) for one in states),
                received_bytes=None if totals is None else int(totals.total_payload_download),
                sent_bytes=None if totals is None else int(totals.total_payload_upload),
            ),
            measures=torrent_measures(
                torrents=len(states),
                torrents_failing=sum(one.errc.value() != 0 for one in states),
                trackers=self._trackers,
                dht_nodes=dht_nodes,
            ),
            details={"trackers_failing_hosts": self._trackers.failing_hosts},
        )

    async def close(self) -> None:
        """The session belongs to the program."""


def _announcements(session: Any) -> Iterator[tuple[str, bool]]:
    for torrent in session.get_torrents():
        try:
            trackers = torrent.trackers() if torrent.is_valid() else []
        except RuntimeError:  # it was removed meanwhile
            continue
        for tracker in trackers:
            # A tracker is asked from every local address, and once for each of the two hashes of a torrent.
            asked = [one for endpoint in tracker.get("endpoints", ()) for one in endpoint.get("info_hashes", ())]
            tried = [one["fails"] == 0 for one in asked if one["fails"] > 0 or one["start_sent"]]
            if tried:
                yield str(tracker["url"]), any(tried)


def _dht_id(session: Any) -> str | None:
    """The id of the session in the DHT, in hexadecimal; with IPv4 and IPv6, the first one."""
    state = _call(session, "dht_state") if session.is_dht_running() else None
    ids = state.get(b"node-id") if isinstance(state, dict) else None
    if isinstance(ids, list) and ids and isinstance(ids[0], bytes) and len(ids[0]) >= DHT_ID_BYTES:
        return ids[0][:DHT_ID_BYTES].hex()
    return None


def _call(session: Any, method: str) -> Any:
    """Call a deprecated method; None in a build without it."""
    if not hasattr(session, method):
        return None
    return getattr(session, method)()


def _version() -> str | None:
    try:
        return version("libtorrent")
    except PackageNotFoundError:  # Debian's package has no such entry
        return None
