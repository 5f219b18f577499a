"""`etcd:URL`: one member of an etcd cluster, by its JSON gateway (`/v3/...`) and its `/metrics`.

Checked with etcd 3.4.23 and 3.6.16. Neighbours are the other members with a connection. A member that serves only
`--listen-metrics-urls`, or wants a password for the gateway, is known by its metrics alone.

etcd is late or wrong in this:

- It counts no send failure for a member that is frozen, since its connections stay open. 3.4 counts the connection as
  gone after about five seconds, 3.6 still has it after 97 (`etcd_network_active_peers`). A member that is killed counts
  as gone at once. Followers answer their leader every 100 ms. So at the leader `members_alive` leaves out followers
  that have been silent for ten seconds. Two followers send each other nothing that etcd counts.
- It probes the round trip to each member every 30 seconds. The last mean stays, with its age.
- `/health` and the gateway name no leader while there is none. The list of members is the configured one: it says
  nothing of who is up.
- Ids are decimal in the gateway, and hexadecimal in metrics and in `etcdctl`. This source has the latter.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Mapping
from math import isfinite, nan
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.errors import SourceError
from peerscope.host.addresses import join_address
from peerscope.host.clock import monotonic
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import ADDRESSES_MAX, OVERLAY_MAX, OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import LOGIN, OPTIONS, Endpoint, decoded
from peerscope.sources.mapping import SumParts, count
from peerscope.sources.place import parse_place

DEFAULT = "http://127.0.0.1:2379"
MEAN_AGE_S_MAX = 600.0
"""After that the last mean says nothing of the network any more. A guess."""
LINE = re.compile(r"etcd_(\w+)(?:\{([^{}]{0,400})\})? (\S{1,40})\Z")
LABEL = re.compile(r'(\w+)="([^"\\]{0,64})"')
ID = re.compile(r"[0-9a-f]{1,16}")
SILENT_S = 10.0
"""A follower answers each heartbeat of its leader, by default ten times a second."""
MEMBERS_MAX = 1000
RTT_US_MAX = 600_000_000
ROUND_TRIP = "network_peer_round_trip_time_seconds"

Number = Annotated[str, Meta(pattern=r"^[0-9]{1,20}\Z")]
"""The gateway writes numbers of 64 bits as texts."""
Word = Annotated[str, Meta(max_length=400)]
Series = tuple[Mapping[str, str], float]
Page = Mapping[str, list[Series]]
Answer = TypeVar("Answer")


class _Header(Struct, frozen=True):
    """The part that all answers have."""

    member_id: Number = "0"


class EtcdMember(Struct, frozen=True, rename={"id": "ID", "client_urls": "clientURLs"}):
    """A configured member; without a name it has not started yet."""

    id: Number
    name: str = ""
    client_urls: tuple[str, ...] = ()


class MemberList(Struct, frozen=True):
    """Answer to `/v3/cluster/member/list`."""

    members: Annotated[tuple[EtcdMember, ...], Meta(max_length=1000)] = ()


class MemberStatus(Struct, frozen=True, rename={"raft_term": "raftTerm", "db_bytes": "dbSize"}):
    """Answer to `/v3/maintenance/status`."""

    header: _Header
    version: Word = ""
    leader: Number = "0"
    raft_term: Number = "0"
    db_bytes: Number = "0"


class EtcdSource:
    """One member."""

    def __init__(self, argument: str = "") -> None:
        """`argument`: URL of the member with options; empty for that of this machine. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._endpoint = Endpoint(replace(place, address=place.address or DEFAULT), DEFAULT, login=LOGIN)
        self._totals: dict[str, tuple[float, float]] = {}
        self._is_first = True
        self._parts = SumParts()
        self._heard: dict[str, tuple[float, float, float]] = {}
        """By member: bytes received and sent, and when the former last grew."""
        self._means: dict[str, tuple[float, float]] = {}
        """By member: the last mean, and when."""

    async def read(self) -> Reading:
        """Ask the member. Raises `SourceError`."""
        status, members = self._asked()
        page = self._endpoint.get("/metrics").data.decode("utf-8", "replace")
        return self.reading(page, status, members, monotonic())

    async def close(self) -> None:
        """Nothing stays open: each request has a connection of its own."""

    def reading(self, page: str, status: MemberStatus | None, members: MemberList | None, now: float) -> Reading:
        """One reading from the answers of the gateway, where it answered, and the page. Raises `SourceError`."""
        series = _series(page)
        if "server_has_leader" not in series:
            raise SourceError(f"{self._endpoint.url}/metrics is not the page of an etcd member")
        me = _hex(status.header.member_id) if status else _label(series, "server_id", "server_id")
        if not ID.fullmatch(me):
            raise SourceError(f"{self._endpoint.url} names no id of its member")
        configured = None if members is None else {_hex(member.id) for member in members.members} - {me}
        up = _connected(series, configured)
        self._note(series, now)
        silent = self._silent(series, up or set(), now)
        means = [self._means[one] for one in up or () if one in self._means]
        age_s = now - min((at for _, at in means), default=now)
        return Reading(
            node="etcd",
            node_id=me,
            version=(_label(series, "server_version", "server_version") or (status.version if status else ""))[:64]
            or None,
            metrics=NodeMetrics(
                p2p_peers=None if up is None else len(up),
                received_bytes=self._total(series, "network_peer_received_bytes_total"),
                sent_bytes=self._total(series, "network_peer_sent_bytes_total"),
                errors=None if up is None else self._total(series, "network_peer_sent_failures_total", absent=0),
            ),
            overlay=tuple(OverlayLink(one, self._rtt_us(one)) for one in sorted(up or ())[:OVERLAY_MAX]),
            latency_s=sum(mean for mean, _ in means) / len(means) if means else None,
            latency_age_s=age_s or None,
            measures=_measures(series, configured, None if up is None else up - silent),
            addresses=_addresses(members, me),
            details=_details(series, status, members),
        )

    def _asked(self) -> tuple[MemberStatus | None, MemberList | None]:
        """Answers of the gateway; None where it does not answer. The metrics show whether the member runs."""
        try:
            status = self._gateway("/v3/maintenance/status", MemberStatus)
            return status, self._gateway("/v3/cluster/member/list", MemberList)
        except SourceError:
            return None, None

    def _gateway(self, path: str, kind: type[Answer]) -> Answer:
        page = self._endpoint.post(path, b"{}", headers={"Content-Type": "application/json"})
        return decoded(page, kind, self._endpoint.at(path))

    def _total(self, page: Page, name: str, absent: int | None = None) -> int | None:
        """A running total; None also while members come back or go. `absent`: its value without any series."""
        found: set[Hashable] = {tuple(sorted(labels.items())) for labels, _ in page.get(name, [])}
        is_steady = self._parts.are_steady(name, found, from_zero=True)
        return (count(_sum(page, name)) if found else absent) if is_steady else None

    def _note(self, page: Page, now: float) -> None:
        """Take the round trips of each member since the last look. A series that appears began at zero."""
        before, is_first, self._totals = self._totals, self._is_first, {}
        self._is_first = False
        counted = {labels.get("To", ""): value for labels, value in page.get(f"{ROUND_TRIP}_count", [])}
        for labels, total in page.get(f"{ROUND_TRIP}_sum", [])[:MEMBERS_MAX]:
            other = labels.get("To", "")
            count = self._totals[other] = total, counted.get(other, 0.0)
            old = before.get(other, count if is_first else (0.0, 0.0))
            if count[1] > old[1] and total >= old[0]:
                self._means[other] = ((total - old[0]) / (count[1] - old[1]), now)
        self._means = {one: mean for one, mean in self._means.items() if now - mean[1] <= MEAN_AGE_S_MAX}

    def _silent(self, page: Page, up: set[str], now: float) -> set[str]:
        """Followers of this leader that have not answered for a while."""
        if not _sum(page, "server_is_leader"):
            self._heard = {}
            return set()
        received, sent = _by_member(page, "received", "From"), _by_member(page, "sent", "To")
        before, self._heard = self._heard, {}
        for other in up:
            came, went = received.get(other, 0.0), sent.get(other, 0.0)
            old = before.get(other)
            self._heard[other] = (came, old[1], old[2]) if old is not None and old[0] == came else (came, went, now)
        return {
            other
            for other, (_, went, at) in self._heard.items()
            if now - at >= SILENT_S and sent.get(other, 0.0) > went
        }

    def _rtt_us(self, other: str) -> int | None:
        mean = self._means.get(other)
        return None if mean is None else min(RTT_US_MAX, round(mean[0] * 1e6))


def _series(page: str) -> Page:
    """Series of etcd by name, without its prefix and buckets. A value that is none is NaN."""
    found: dict[str, list[Series]] = {}
    for line in page.split("\n"):
        if line.startswith("etcd_") and "_bucket{" not in line and (match := LINE.match(line)):
            with contextlib.suppress(ValueError):
                value = float(match[3])
                known = value if isfinite(value) and value >= 0 else nan  # a sum with it is unknown
                found.setdefault(match[1], []).append((dict(LABEL.findall(match[2] or "")), known))
    return found


def _connected(series: Page, configured: set[str] | None) -> set[str] | None:
    """Ids of the others with a connection; None where the page does not say."""
    if "network_active_peers" not in series:
        return set() if configured == set() else None
    named = {labels.get("Remote", "") for labels, value in series["network_active_peers"] if value > 0}
    up = {one for one in named if ID.fullmatch(one)}
    return up if configured is None else up & configured


def _by_member(page: Page, way: str, label: str) -> dict[str, float]:
    return {labels.get(label, ""): value for labels, value in page.get(f"network_peer_{way}_bytes_total", [])}


def _measures(series: Page, configured: set[str] | None, up: set[str] | None) -> tuple[Measure, ...]:
    found = [
        Measure("has_leader", count(_sum(series, "server_has_leader"))),
        Measure("leader_changes", count(_sum(series, "server_leader_changes_seen_total")), is_counter=True),
    ]
    if up is not None:
        found.append(Measure("members_alive", len(up) + 1))
    if up is not None and configured is not None:
        found.append(Measure("members_failed", len(configured - up)))
    return tuple(found)


def _details(series: Page, status: MemberStatus | None, members: MemberList | None) -> dict[str, float | str | None]:
    known: dict[str, float | str | None] = {
        "is_leader": _sum(series, "server_is_leader"),
        "proposals_failed": _sum(series, "server_proposals_failed_total"),
        "proposals_pending": _sum(series, "server_proposals_pending"),
        "heartbeat_failures": _sum(series, "server_heartbeat_send_failures_total"),
    }
    if status is not None:
        known |= {"raft_term": float(status.raft_term), "db_bytes": float(status.db_bytes)}
        names = {} if members is None else {member.id: member.name for member in members.members}
        name = printable(names.get(status.leader, ""))[:40]
        known["leader"] = None if status.leader == "0" else f"{_hex(status.leader)} {name}".rstrip()
    return known


def _addresses(members: MemberList | None, me: str) -> tuple[str, ...]:
    """Where clients reach this member."""
    found = []
    for member in members.members if members else ():
        for url in member.client_urls if _hex(member.id) == me else ():
            with contextlib.suppress(ValueError):
                place = urlsplit(url)
                if place.hostname and place.port:
                    found.append(join_address(place.hostname, place.port))
    return tuple(found[:ADDRESSES_MAX])


def _sum(series: Page, name: str) -> float | None:
    """The sum; None if a part is missing or unknown."""
    added = sum(value for _, value in series[name]) if name in series else nan
    return added if isfinite(added) else None


def _label(series: Page, name: str, label: str) -> str:
    """The label of a series that only exists once; "" where it does not."""
    found = series.get(name, [])
    return found[0][0].get(label, "") if len(found) == 1 else ""


def _hex(number: str) -> str:
    return f"{int(number):x}"
