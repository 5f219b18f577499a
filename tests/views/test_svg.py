"""The map as a picture: well formed whatever peers call themselves, everybody on it once, nobody on another."""

from itertools import combinations
from math import hypot
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book, lose, meshed
from maps import HOSTILE, barbell, hostile, join, tell
from peerscope.views.layout import Frame, in_a_circle, lay_out, walk
from peerscope.views.sanitize import clipped, fit
from peerscope.views.svg import HEIGHT, WIDTH, to_svg
from peerscope.views.topology import Topology, topology

SVG = "{http://www.w3.org/2000/svg}"
FRAME = Frame(1200.0, 1100.0, 80.0)


def marks(drawing: ElementTree.Element) -> dict[str, str]:
    """The mark of each peer, by the beginning of its tooltip."""
    uses = drawing.iter(f"{SVG}use")
    return {(use.findtext(f"{SVG}title") or "").split(";")[0]: (use.get("href") or "").lstrip("#") for use in uses}


def texts(drawing: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in drawing.iter(f"{SVG}text")]


def drawn(found: Topology) -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(found))


def test_everybody_is_drawn_once_with_the_mark_of_its_status() -> None:
    book = meshed(6)
    now = lose(book, 0, [2, 3, 4, 5])
    join(book, 1, node="ygg", node_id="a", at=now)
    tell(book, 1, [2], overlay=[("far", None)], at=now)
    shown = marks(drawn(topology(book.snapshot(now, me=2))))
    assert shown == {
        book[0].hex(): "down",
        **{book[number].hex(): "healthy" for number in range(1, 6)},
        "ygg:far": "unmonitored",
    }


def test_names_are_text_whatever_they_say() -> None:
    found = topology(hostile().snapshot(1.0))
    drawing = drawn(found)
    allowed = {"svg", "title", "rect", "defs", "path", "g", "circle", "use", "text", "tspan"}
    assert {element.tag.removeprefix(SVG) for element in drawing.iter()} == allowed
    names = {name for element in drawing.iter() for name in element.keys()}  # noqa: SIM118
    assert not {name for name in names if name.startswith("on") or name == "style"}
    assert len(marks(drawing)) == len(found.peers) == 16
    assert any('<img src=x onerror="alert' in text for text in texts(drawing))


@given(st.text(max_size=64))
def test_any_region_makes_a_well_formed_picture(region: str) -> None:
    book = Book()
    join(book, 0)
    tell(book, 0)
    found = topology(book.snapshot(1.0))
    (peer,) = found.peers
    renamed = Topology(
        (type(peer)(peer.peer_id, peer.short_id, region),), (), {region: (peer.peer_id,)}, (), (), (), ()
    )
    drawn(renamed)


def test_what_splits_the_network_is_ringed_and_said_in_words() -> None:
    book = barbell()
    said = texts(drawn(topology(book.snapshot(1.0))))
    assert "The network splits if one of these fails:" in said
    for number in (3, 4, 5):
        assert book[number].hex()[:10] in said
    assert f"{book[3].hex()[:10]} – {book[4].hex()[:10]}" in said
    calm = texts(drawn(topology(meshed(5).snapshot(1.0))))
    assert not [text for text in calm if "splits" in text]


@pytest.mark.parametrize("found", [Topology((), (), {}, (), (), (), ()), topology(meshed(1).snapshot(1.0))])
def test_small_maps_can_be_drawn(found: Topology) -> None:
    assert len(marks(drawn(found))) == len(found.peers)


def test_the_same_map_is_the_same_picture() -> None:
    assert to_svg(topology(barbell().snapshot(1.0))) == to_svg(topology(barbell().snapshot(1.0)))


sizes = st.lists(st.integers(1, 90), min_size=1, max_size=12)


@given(sizes)
def test_nobody_stands_on_another_or_outside_of_the_frame(regions: list[int]) -> None:
    groups = {f"r{index}": [f"{index}-{number}" for number in range(size)] for index, size in enumerate(regions)}
    found = lay_out(groups, [], {}, FRAME)
    assert set(found.places) == {peer for members in groups.values() for peer in members}
    for x, y in found.places.values():
        assert -1 <= x <= FRAME.width + 1
        assert -1 <= y <= FRAME.height + 1
    for island in found.islands.values():
        members = [found.places[peer] for peer in groups[island.name]]
        for (x, y), (u, v) in combinations(members, 2):
            assert hypot(x - u, y - v) > found.spacing * 0.6
    for one, other in combinations(found.islands.values(), 2):
        (x, y), (u, v) = one.center, other.center
        assert hypot(x - u, y - v) >= one.outer + other.outer - 1


def test_peers_stand_on_the_side_that_their_links_lead_to() -> None:
    groups = {name: [f"{name}{number}" for number in range(8)] for name in "abc"}
    found = lay_out(groups, [("a0", "b0"), ("a1", "c0")], {}, FRAME)
    to_b = [
        hypot(*(p - q for p, q in zip(found.places[a], found.islands["b"].center, strict=True))) for a in groups["a"]
    ]
    assert to_b[0] < to_b[1]
    assert to_b[0] < sum(to_b) / 8


def test_near_regions_are_next_to_each_other_on_the_circle() -> None:
    near_s = {("a", "c"): 0.01, ("a", "b"): 0.2, ("b", "d"): 0.02, ("c", "d"): 0.1, ("b", "c"): 0.3, ("a", "d"): 0.4}
    assert in_a_circle("abcd", near_s) == ["a", "c", "d", "b"]


def test_a_walk_meets_neighbours_one_after_the_other() -> None:
    assert walk("abcde", [("a", "c"), ("c", "e"), ("b", "d")]) == ["a", "c", "e", "b", "d"]


def test_the_picture_has_its_size_and_a_legend() -> None:
    drawing = drawn(topology(barbell().snapshot(1.0)))
    assert drawing.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    assert {"Peers", "healthy", "down", "Links, round trip", "under 50 ms", "not measured"} <= set(texts(drawing))


def test_words_are_made_fit_and_cut_by_columns() -> None:
    assert fit("a\x00b\uffffc") == "a\ufffdb\ufffdc"
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdefg", 6) == "abcde…"
    assert clipped("東京リージョン", 6) == "東京…"
    assert clipped("two\nlines", 20) == "two lines"
    assert all(fit(name) for name in HOSTILE)
