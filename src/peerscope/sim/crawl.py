"""What a stranger who mapped the virtual network found, against what is there."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.crawling.crawler import Crawler
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth


class Crawl(Struct, frozen=True):
    """Figures of one crawl."""

    seconds: float
    """Virtual."""
    asked: int
    found: int
    """Peers that answered."""
    missed: int
    """Honest, running peers that did not."""
    unreachable: int
    links: int
    """Between peers that were asked."""
    confirmed: int
    """Of these, links that both ends told."""
    stopped: str | None
    """The limit that ended it, if one did."""


def crawled(crawler: Crawler | None, sim: Simulator, truth: Truth) -> Crawl | None:
    """The figures of a crawl, if there was one."""
    if crawler is None:
        return None
    survey = crawler.walk.survey()
    honest = {peer.me for peer in sim.alive()} - truth.byzantine
    return Crawl(
        seconds=survey.seconds,
        asked=crawler.walk.asked,
        found=len(survey.depths),
        missed=len(honest - survey.depths.keys()),
        unreachable=len(survey.unreachable),
        links=len(survey.links),
        confirmed=sum(survey.links.values()),
        stopped=survey.stopped,
    )
