"""Crawls compared: who joined, left and changed, and how long sessions last at least and at most."""

import msgspec
import pytest

from peerscope.errors import ConfigError
from peerscope.views.crawl import CrawledPeer, CrawlView, Unreachable
from peerscope.views.crawl_changes import CrawlChanges, Sessions, VersionChange, changes, decode_crawl


def crawl(
    at: float | None, peers: str, *, gone: str = "", network: str = "bittorrent", version: str = "1"
) -> CrawlView:
    return CrawlView(
        peers=tuple(CrawledPeer(peer, (), None, version, 0, 0) for peer in peers),
        links=(),
        unreachable=tuple(Unreachable(peer, (), "no answer") for peer in gone),
        asked=len(peers),
        unasked=0,
        left_out=0,
        forged=0,
        stopped=None,
        seconds=1.0,
        network=network,
        at=at,
    )


def compared(*crawls: CrawlView) -> CrawlChanges:
    return changes([(f"{number}.json", view) for number, view in enumerate(crawls)])


def test_peers_that_joined_left_and_stayed() -> None:
    found = compared(crawl(10.0, "abc"), crawl(20.0, "bcd", gone="a"))
    assert (found.joined, found.left, found.left_named, found.stayed) == (("d",), ("a",), 1, 2)
    assert found.presence == (2, 2)
    assert [(moment.at, moment.peers, moment.is_complete) for moment in found.crawls] == [
        (10.0, 3, True),
        (20.0, 3, True),
    ]


def test_the_order_of_files_does_not_matter() -> None:
    one, two = crawl(10.0, "ab"), crawl(20.0, "bc")
    assert compared(one, two) == compared(two, one)


def test_a_changed_version_is_named() -> None:
    found = compared(crawl(1.0, "ab"), crawl(2.0, "a", version="2"))
    assert found.versions == (VersionChange("a", "1", "2"),)


def test_sessions_over_several_crawls() -> None:
    """`a` is always there; `b` has one session inside; `c` comes twice; `d` is new."""
    found = compared(crawl(0.0, "ac"), crawl(60.0, "ab"), crawl(120.0, "abc"), crawl(180.0, "acd"))
    assert found.sessions == Sessions(
        closed=1,  # b: from 60 to 120, between 0 and 180
        open=4,
        closed_s_median=60.0,
        closed_s_median_max=180.0,
        open_s_median=30.0,  # a 180, c 0 and 60, d 0
        open_s_max=180.0,
        returned=1,
    )
    assert found.presence == (1, 1, 1, 1)


def test_the_same_crawl_again_changes_nothing() -> None:
    found = compared(crawl(1.0, "ab"), crawl(2.0, "ab"))
    assert (found.joined, found.left, found.versions, found.stayed) == ((), (), (), 2)
    assert found.sessions.closed_s_median is None


def test_empty_crawls_are_compared() -> None:
    found = compared(crawl(1.0, ""), crawl(2.0, ""))
    assert (found.stayed, found.presence, found.sessions.open_s_max) == (0, (0, 0), None)


def test_crawls_of_two_networks_and_one_crawl_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.json is a crawl of bittorrent, but 1\.json of libp2p"):
        compared(crawl(1.0, "a"), crawl(2.0, "a", network="libp2p"))
    with pytest.raises(ConfigError, match="same time"):
        compared(crawl(1.0, "a"), crawl(1.0, "a"))


def test_a_result_is_read_back() -> None:
    view = crawl(1.0, "ab", gone="c")
    assert decode_crawl(msgspec.json.encode(view), "x", now=1.0) == view


def edited(**changes: object) -> bytes:
    """A result with other values for its one peer `a`."""
    view = msgspec.to_builtins(crawl(1.0, "a"))
    return msgspec.json.encode(view | {"peers": [view["peers"][0] | changes]})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no result"),
        (b"[]", "is no result"),
        (b"{}", "is no result"),
        (b"\xff\xfe", "is no result"),
        (msgspec.json.encode(crawl(1.0, "a"))[:-9], "is no result"),
        (msgspec.json.encode(crawl(None, "a")), "has no time"),
        (msgspec.json.encode(crawl(-1.0, "a")), "has no possible time"),
        (msgspec.json.encode(crawl(1e300, "a")), "has no possible time"),
        (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is no result"),
        (edited(version="\x1b]0;pwn\x07\x1b[2J"), "is no result"),
        (edited(peer_id="x\x1b[31mRED"), "is no result"),
        (edited(addresses=["\u202eevil"]), "is no result"),
        (edited(depth=-3), "is no result"),
        (msgspec.json.encode(crawl(2000.0, "a")), "is from the future: it began 1000 s from now"),
        (msgspec.json.encode(crawl(1.0, "aba")), "has the peer a 2 times"),
        (msgspec.json.encode(crawl(1.0, "ab", gone="b")), "has the peer b 2 times"),
    ],
    ids=[
        *("empty", "list", "other", "binary", "cut", "old", "negative", "huge", "deep", "escape", "red", "mirrored"),
        *("below zero", "future", "twice", "both"),
    ],
)
def test_a_file_that_is_no_result_is_named(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^old.json {told}"):
        decode_crawl(data, "old.json", now=1000.0)
