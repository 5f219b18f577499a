"""Peers with coordinates for tests: places on a line, in milliseconds."""

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.records.bodies import Coordinate, LinkReading, Profile, Report
from peerscope.records.identity import ref

STARTED_MS = 1_700_000_000_000


def coordinate(x_ms: float, *, height_ms: float = 0.0, error: int = 1000) -> Coordinate:
    """A point on the first axis of a plane."""
    return Coordinate((round(x_ms * 1000), 0), round(height_ms * 1000), error)


def settle(
    book: Book,
    number: int,
    x_ms: float | None,
    *neighbours: int,
    region: str | None = None,
    started_s: int = 0,
    error: int = 1000,
    rtt_us: int | None = 1000,
    at: float = 0.0,
) -> None:
    """A peer that started so long after the first, with its coordinate (or none) and its links."""
    profile = Profile((f"10.0.0.{number}:1",), region, "1.0", STARTED_MS + started_s * 1000)
    links = tuple(LinkReading(ref(book[other]), rtt_us, 0) for other in neighbours)
    place = None if x_ms is None else coordinate(x_ms, error=error)
    book.say(number, profile, at=at)
    book.say(number, Report(INTERVAL_MS, (GOOD,) * 5, links, coordinate=place), at=at)
