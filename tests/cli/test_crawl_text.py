"""Notes below a crawl: they do not claim more than the crawl knows."""

from msgspec.structs import replace

from peerscope.cli.crawl_text import notes
from peerscope.views.crawl import REFUSED_MAX, CrawlCost, CrawlView, Unreachable

EMPTY = CrawlView((), (), (), asked=1, unasked=1, left_out=0, forged=0, stopped="15 s were over", seconds=15.0)
FOREIGN = replace(EMPTY, network="bittorrent", cost=CrawlCost(received_packets=54, stray_packets=1))


def test_a_crawl_with_answers_does_not_say_that_no_peer_answered() -> None:
    assert notes(FOREIGN, stopped=False)[-1] == "53 answers came, but none that shows a peer; the time was too short"
    gone = replace(FOREIGN, unreachable=(Unreachable("a", (), "says: error 203"),))
    assert notes(gone, stopped=False)[-1].endswith("see the reasons of the unreachable peers")


def test_a_crawl_without_answers_asks_whether_the_peers_run() -> None:
    for view in (EMPTY, replace(FOREIGN, cost=CrawlCost(received_packets=1, stray_packets=1))):
        assert notes(view, stopped=False)[-1].startswith("no peer answered; do the peers of the tickets run")


def test_a_count_at_its_limit_is_a_least_count() -> None:
    full, one = (notes(replace(FOREIGN, refused=count), stopped=False)[1] for count in (REFUSED_MAX, 1))
    assert full.startswith("at least 50000 addresses were not dialled")
    assert one.startswith("1 address was not dialled")
