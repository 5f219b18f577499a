"""A crawl for people and scripts: complete, in a fixed order, and safe to draw."""

import json
import subprocess
from collections.abc import Callable

import pytest

from peerscope.mesh.crawling.traversal import Candidates
from peerscope.views.crawl import CrawledLink, CrawledPeer, CrawlView, Unreachable, dot, foreign_view, short_id

NASTY = 'a"b\\c<d>\n{e|f}; ]'
SURVEY = Candidates(
    depths={"c": 1, "a": 0, "b": 1},
    links={("b", "a"): True, ("a", "c"): True, ("a", "d"): False},
    unreachable={"d": "no answer"},
    unasked=0,
    surplus=3,
    stopped=None,
    seconds=0.12345,
)


def test_peers_come_by_depth_and_links_once() -> None:
    view = foreign_view(SURVEY, {"a": "200::1"}, asked=4)
    assert [(peer.peer_id, peer.depth, peer.neighbours) for peer in view.peers] == [
        ("a", 0, 3),
        ("b", 1, 1),
        ("c", 1, 1),
    ]
    assert view.peers[0].addresses == ("200::1",)
    assert view.links == (CrawledLink("a", "b", True), CrawledLink("a", "c", True), CrawledLink("a", "d", False))
    assert view.unreachable == (Unreachable("d", (), "no answer"),)
    assert (view.asked, view.left_out, view.seconds) == (4, 3, 0.123)


def nasty_view() -> CrawlView:
    peer = CrawledPeer("aa", (), NASTY, None, 0, 1)
    gone = Unreachable("bb", (), NASTY)
    return CrawlView((peer,), (CrawledLink("aa", "bb", False),), (gone,), 2, 0, 0, 0, None, 1.0)


def test_the_drawing_shows_doubtful_things_dashed() -> None:
    lines = dot(foreign_view(SURVEY, {}, asked=4)).splitlines()
    assert '  "a" -> "b";' in lines
    assert '  "a" -> "d" [style=dashed];' in lines
    assert sum("style=dashed" in line for line in lines) == 2


@pytest.mark.tools
def test_what_peers_say_of_themselves_cannot_break_the_drawing(need: Callable[[str], str]) -> None:
    done = subprocess.run(
        [need("dot"), "-Tjson"], input=dot(nasty_view()), capture_output=True, text=True, check=True, timeout=60
    )
    drawn = json.loads(done.stdout)
    assert [node["name"] for node in drawn["objects"]] == ["aa", "bb"]
    assert len(drawn["edges"]) == 1
    assert done.stderr == ""


def test_copies_of_an_id_differ_in_their_short_form() -> None:
    assert short_id("589c1f784406" + "0" * 28) == "589c1f7844"
    assert short_id(f"{'589c1f784406' + '0' * 28}@127.0.0.1:8003") == "589c1f7844@127.0.0.1:8003"
    assert short_id("12D3KooWKXsuiFygxRYkpgKrZVBAAN3EL47GHQ9z5JMp8pviAPPk") == "Mp8pviAPPk"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("127.0.0.1:46881", "127.0.0.1:46881"),
        ("[2001:db8::7]:6881", "[2001:db8::7]:6881"),
        ("router.example:6881", "router.example:6881"),
        ("0123456789abcdef" * 4, "0123456789"),
        ("0123456789abcdef0123456789abcdef01234567", "0123456789"),
        ("12D3KooWGDTJ1JUW6oVDC5fRhKSR5Aj5WmuWTR9jTn3Hx3HExqJe", "n3Hx3HExqJe"[-10:]),
        ("x" * 5000, "x" * 64),
    ],
)
def test_only_long_ids_are_shortened(name: str, shown: str) -> None:
    assert short_id(name) == shown
