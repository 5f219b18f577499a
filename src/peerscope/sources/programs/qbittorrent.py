"""qBittorrent, asked over its web interface. Checked with qBittorrent 4.5.2 (API 2.8).

As a source: `qbittorrent:URL#user=NAME&password_file=FILE`, which logs in once, and again when the session ends. A
client that lets programs of its own machine in needs no options; `#token_file=FILE` sends an API key (qBittorrent 5.2).
Any cookie that it sets is sent back: its name was SID, and is QBT_SID_PORT since 5.2.

One request brings all changes since the last one. The state of trackers needs one more request for each torrent. So
each reading asks about a few torrents, and first about those not asked for longest.

qBittorrent is late or wrong in this:
- It lists the DHT, PEX and LSD among the trackers of a torrent. The source leaves them out.
- It answers 200 to a wrong password, with the text "Fails.", and refuses an address after five of these.
- Its bytes are the payload since it started, and its number of DHT nodes is at most a second or two old.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from msgspec import Meta, Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.host.clock import monotonic
from peerscope.records.measures import Count, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import LOGIN, OPTIONS, Endpoint, Page, decoded
from peerscope.sources.place import NodePlace, parse_place, secret
from peerscope.sources.programs.bittorrent import TrackerCount, torrent_measures

DEFAULT = "http://127.0.0.1:8080"
ASKED_FOR_TRACKERS = 8
"""Torrents asked in each reading. 1000 torrents take ten minutes at an interval of 5 s."""
LOGIN_PAUSE_S = 900.0
"""After a refused password. More than five refusals ban this machine, also for its people."""
COOKIE_MAX = 400
WORKING = 2
NOT_WORKING = frozenset({4, 5, 6})
"""Not working; since 5.1 also an error that the tracker sent, and no connection."""
FAILING = frozenset({"error", "missingFiles"})
T = TypeVar("T")
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{40,64}\Z")]
Word = Annotated[str, Meta(max_length=4096)]


class TorrentChange(Struct, frozen=True):
    """Changes of one torrent; all of it the first time."""

    state: Word | None = None
    num_seeds: Count | None = None
    num_leechs: Count | None = None
    """Connected ones."""


class ServerChange(Struct, frozen=True):
    """Changes of the client itself."""

    dht_nodes: Count | None = None
    dl_info_data: Count | None = None
    up_info_data: Count | None = None
    total_peer_connections: Count | None = None
    connection_status: Annotated[str, Meta(max_length=32)] | None = None


class _Changes(Struct, frozen=True):
    rid: int
    full_update: bool = False
    server_state: ServerChange = ServerChange()
    torrents: Annotated[dict[Hash, TorrentChange], Meta(max_length=100_000)] = {}
    torrents_removed: tuple[Hash, ...] = ()


class _Tracker(Struct, frozen=True):
    url: Word
    status: int


class QbittorrentSource:
    """One client's web interface as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: "URL" with options; empty for this machine's client. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        options = dict(place.options)
        self._user, self._password_file = options.pop("user", None), options.pop("password_file", None)
        if (self._user is None) != (self._password_file is None):
            raise ConfigError("the options user and password_file need each other")
        self._endpoint = Endpoint(NodePlace(place.address or DEFAULT, "", options), DEFAULT, login=LOGIN)
        self._cookie = self._version = ""
        self._no_login_before = 0.0
        self._forget()

    async def read(self) -> Reading:
        """Read torrents, peers, bytes, DHT and some trackers. Raises `SourceError`."""
        if not self._version:
            self._version = self._get("app/version").data.decode("ascii", "replace").strip()[:64]
        self._follow()
        self._ask_for_trackers()
        trackers = TrackerCount(pair for known in self._trackers.values() for pair in known)
        torrents, server = self._torrents.values(), self._server
        return Reading(
            node="qbittorrent",
            version=self._version,
            metrics=NodeMetrics(
                active_connections=server.get("total_peer_connections"),
                p2p_peers=sum(one.get("num_seeds", 0) + one.get("num_leechs", 0) for one in torrents),
                received_bytes=server.get("dl_info_data"),
                sent_bytes=server.get("up_info_data"),
            ),
            measures=torrent_measures(
                torrents=len(torrents),
                torrents_failing=sum(one.get("state") in FAILING for one in torrents),
                trackers=trackers,
                dht_nodes=server.get("dht_nodes"),
            ),
            details={
                "connection_status": server.get("connection_status"),
                "trackers_failing_hosts": trackers.failing_hosts,
                "torrents_asked_for_trackers": float(len(self._trackers)),
            },
        )

    async def close(self) -> None:
        """End the session, as browsers do."""
        if self._cookie and self._user is not None:
            with contextlib.suppress(SourceError):  # the client may be gone
                self._endpoint.post("/api/v2/auth/logout", b"", headers={"Cookie": self._cookie})

    def _forget(self) -> None:
        self._rid = 0
        self._server: dict[str, Any] = {}
        self._torrents: dict[str, dict[str, Any]] = {}
        self._trackers: dict[str, list[tuple[str, bool]]] = {}
        """By torrent, in the order of asking: announcements."""

    def _follow(self) -> None:
        """Take in what changed. Values that did not change are not in the answer."""
        changes = self._json(f"sync/maindata?rid={self._rid}", _Changes)
        if not (changes.full_update or self._rid):
            raise SourceError(f"{self._endpoint.url} answers with only changes, although it was asked for everything")
        if changes.full_update:
            trackers = self._trackers
            self._forget()
            self._trackers = {name: known for name, known in trackers.items() if name in changes.torrents}
        self._rid = changes.rid
        self._server |= _known(changes.server_state)
        for name, change in changes.torrents.items():
            self._torrents[name] = self._torrents.get(name, {}) | _known(change)
        for name in changes.torrents_removed:
            self._torrents.pop(name, None)
            self._trackers.pop(name, None)

    def _ask_for_trackers(self) -> None:
        new = [name for name in self._torrents if name not in self._trackers]
        for name in [*new, *self._trackers][:ASKED_FOR_TRACKERS]:
            self._trackers.pop(name, None)
            page = self._get(f"torrents/trackers?hash={quote(name)}", gone=404)
            if page.status != 404:  # removed meanwhile
                known = decoded(page, tuple[_Tracker, ...], "torrents/trackers")
                self._trackers[name] = [
                    (one.url, one.status == WORKING)
                    for one in known
                    if not one.url.startswith("** [") and (one.status == WORKING or one.status in NOT_WORKING)
                ]

    def _json(self, path: str, kind: type[T]) -> T:
        return decoded(self._get(path), kind, self._endpoint.at(f"/api/v2/{path}"))

    def _get(self, path: str, gone: int = 403) -> Page:
        """Fetch a page; log in first where that is needed. Answers with the status `gone` are returned too."""
        place = f"/api/v2/{path}"
        page = self._endpoint.get(place, headers=self._session(), accepted=(403, gone))
        if page.status == 403:
            self._forget()
            if self._user is None:
                raise SourceError(
                    f"{self._endpoint.url} answers 403: it wants a login, as in #user=NAME&password_file=PATH"
                )
            self._log_in(self._user, self._password_file or "")
            page = self._endpoint.get(place, headers=self._session(), accepted=(gone,) if gone != 403 else ())
        self._keep_cookie(page)
        return page

    def _session(self) -> dict[str, str]:
        return {"Cookie": self._cookie} if self._cookie else {}

    def _log_in(self, user: str, password_file: str) -> None:
        now, url = monotonic(), self._endpoint.url
        if now < self._no_login_before:
            raise SourceError(f"{url} did not accept this user and password; the next try follows within 15 min")
        form = urlencode({"username": user, "password": secret(password_file)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": url}
        page = self._endpoint.post("/api/v2/auth/login", form, headers=headers, accepted=(401, 403))
        self._cookie = ""
        self._keep_cookie(page)
        if not self._cookie or page.status >= 400:
            self._no_login_before = now + LOGIN_PAUSE_S
            raise SourceError(f"{url} does not accept this user and password")

    def _keep_cookie(self, page: Page) -> None:
        cookie = (page.headers.get("Set-Cookie") or "").partition(";")[0].strip()
        if "=" in cookie and len(cookie) <= COOKIE_MAX and cookie.isascii() and cookie.isprintable():
            self._cookie = cookie


def _known(change: Struct) -> dict[str, Any]:
    return {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
