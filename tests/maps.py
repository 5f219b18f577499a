"""Networks whose maps are known beforehand."""

from collections.abc import Iterable

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.records.bodies import Check, Coordinate, LinkReading, OverlayLink, Profile, Report, Status
from peerscope.records.identity import ref

NEAR, FAR = Coordinate((0, 0), 1000, 100), Coordinate((30_000, 40_000), 1000, 100)
"""52 ms apart."""
HOSTILE = (
    '<img src=x onerror="alert(1)">',
    'quote " and \\ and \\N and \\" end \\',
    "two\nlines\r\nand\ttab",
    "]]> --> <b>bold</b> &lt;i&gt; &#60; &nbsp;",
    "東京 – Zürich 🙂 \u202eevil",
    "broken \ud7ff \ufffe \uffff \x00 \x1b[31m",
    "}; digraph x {",
    "{a|b} <port> \\l\\r",
)


def barbell() -> Book:
    """Peers 0 to 3 all linked, 5 to 8 all linked, and 4 between 3 and 5."""
    book = Book()
    for clique in ((0, 1, 2, 3), (5, 6, 7, 8)):
        for number in clique:
            book.introduce(number, region=f"side-{clique[0]}")
            extra = [4] if number in (3, 5) else []
            book.report(number, *(other for other in clique if other != number), *extra)
    book.introduce(4, region=None)
    book.report(4, 3, 5)
    return book


def join(book: Book, number: int, *, at: float = 0.0, region: str | None = "eu", **profile: object) -> None:
    """A peer with a node beside it: `node`, `node_id`."""
    book.say(number, Profile((f"10.0.0.{number}:1",), region, "1.0", 0, **profile), at=at)  # type: ignore[arg-type]


def tell(
    book: Book,
    number: int,
    neighbours: Iterable[int] = (),
    *,
    overlay: Iterable[tuple[str, int | None]] = (),
    coordinate: Coordinate | None = None,
    rtt_us: int | None = 1000,
    worst: Status = Status.HEALTHY,
    at: float = 0.0,
) -> None:
    """One report with links on both layers."""
    links = tuple(LinkReading(ref(book[other]), rtt_us, 0) for other in neighbours)
    nodes = tuple(OverlayLink(node, microseconds) for node, microseconds in overlay)
    checks = (GOOD, GOOD, Check(worst, 9000), GOOD, GOOD)
    book.say(number, Report(INTERVAL_MS, checks, links, 0, coordinate, nodes), at=at)


def hostile() -> Book:
    """A ring of peers in regions with names that mean something to whoever draws them, each with a stranger beside."""
    book = Book()
    for number, name in enumerate(HOSTILE):
        join(book, number, region=name, node=name, node_id=f"{name} {number}")
    for number, name in enumerate(HOSTILE):
        rtt_us = (None, 20_000, 120_000, 260_000)[number % 4]
        around = ((number - 1) % len(HOSTILE), (number + 1) % len(HOSTILE))
        tell(book, number, around, overlay=[(f"stranger {name}", 1000)], rtt_us=rtt_us, worst=Status(number % 3))
    return book
