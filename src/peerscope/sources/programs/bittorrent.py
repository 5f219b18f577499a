"""Values that all BitTorrent clients have in common.

A tracker fails if the last announcement to it failed for every torrent that tried. One torrent that a tracker does not
know says nothing about the tracker. A URL of a tracker may hold a key of its user, so only its host is ever shown.

Addresses of other clients belong to strangers. They are counted, and never reported as neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from peerscope.records.measures import Measure

Announcements = Iterable[tuple[str, bool]]
"""URL of a tracker, and whether the last announcement of one torrent reached it."""
SHOWN_MAX = 64


class TrackerCount:
    """How many trackers there are, and which of them fail."""

    def __init__(self, announcements: Announcements) -> None:
        reached: dict[str, bool] = {}
        for url, succeeded in announcements:
            reached[url] = reached.get(url, False) or succeeded
        self.tried = len(reached)
        self.failing = sum(not succeeded for succeeded in reached.values())
        self.failing_hosts = _shown({_host(url) for url, succeeded in reached.items() if not succeeded})


class Growth:
    """A running total over things that come and go, such as torrents, each with a total of its own.

    The first value of a thing counts as grown before; the total begins with zero.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: Mapping[str, int] = {}

    def add(self, values: Mapping[str, int]) -> int:
        """Add what grew since the last call; the total. A thing that counts less than before has begun anew."""
        self.total += sum(max(0, value - self._known.get(name, value)) for name, value in values.items())
        self._known = values
        return self.total


def torrent_measures(
    *, torrents: int, torrents_failing: int | None, trackers: TrackerCount | None, dht_nodes: int | None
) -> tuple[Measure, ...]:
    """The measures of a client; None for what it does not know."""
    known = {
        "dht_nodes": dht_nodes,
        "torrents": torrents,
        "torrents_failing": torrents_failing,
        "trackers": trackers.tried if trackers else None,
        "trackers_failing": trackers.failing if trackers else None,
    }
    return tuple(Measure(name, value) for name, value in known.items() if value is not None)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "?"
    except ValueError:
        return "?"


def _shown(hosts: set[str]) -> str | None:
    """As many hosts as fit, without control characters."""
    text = ", ".join(sorted(hosts))
    clean = "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)
    return clean[:SHOWN_MAX] or None
