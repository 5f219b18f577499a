"""The map as Graphviz reads it: colours and widths by what is measured, and whatever peers call themselves."""

import re
import subprocess
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from ledgers import Book, lose, meshed
from maps import FAR, NEAR, barbell, hostile, join, tell
from peerscope.records.bodies import Status
from peerscope.views.dot import to_dot
from peerscope.views.topology import Topology, topology

SVG = "{http://www.w3.org/2000/svg}"


def line_of(dot: str, *words: str) -> str:
    """The one line that has all these words."""
    (line,) = (line for line in dot.splitlines() if all(word in line for word in words))
    return line


def rendered(dot: str, program: str) -> ElementTree.Element:
    """What Graphviz draws, without a word of complaint."""
    done = subprocess.run([program, "-Tsvg"], input=dot, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return ElementTree.fromstring(done.stdout)


def titles(drawing: ElementTree.Element, kind: str) -> list[str]:
    groups = (group for group in drawing.iter(f"{SVG}g") if group.get("class") == kind)
    return [group.findtext(f"{SVG}title") or "" for group in groups]


@pytest.mark.parametrize(
    ("rtt_us", "color", "width"),
    [(49_999, "green", 3), (50_000, "orange", 2), (199_999, "orange", 2), (200_000, "red", 1), (None, "gray", 1)],
)
def test_links_are_coloured_and_thinned_by_their_time(rtt_us: int | None, color: str, width: int) -> None:
    book = Book()
    book.introduce(0, 1)
    tell(book, 0, [1], rtt_us=rtt_us)
    edge = line_of(to_dot(topology(book.snapshot(1.0))), " -> ")
    assert f"color={color}" in edge
    assert f"penwidth={width}," in edge
    assert ("style=dashed" in edge) == (rtt_us is None)


def test_an_arrow_points_to_whom_the_link_was_told_of() -> None:
    book = Book()
    book.introduce(0, 1, 2)
    book.report(0, 1)
    book.report(1, 0, 2)
    book.report(2)
    dot = to_dot(topology(book.snapshot(1.0)))
    assert "dir=both" in line_of(dot, f'"{book[0].hex()}" -> "{book[1].hex()}"')
    assert "dir=forward" in line_of(dot, f'"{book[1].hex()}" -> "{book[2].hex()}"')
    book.report(1, 0, at=1.0)
    book.report(2, 1, at=1.0)
    dot = to_dot(topology(book.snapshot(1.0)))
    assert "dir=back" in line_of(dot, f'"{book[1].hex()}" -> "{book[2].hex()}"')


def test_peers_are_filled_by_status() -> None:
    book = meshed(7)
    now = lose(book, 0, [3, 4, 5, 6])
    book.report(1, 3, worst=Status.DEGRADED, at=now)
    book.report(2, 3, worst=Status.UNHEALTHY, at=now)
    book.introduce(7)
    dot = to_dot(topology(book.snapshot(now, me=3)))
    fills = dict(re.findall(r'^  "(\w+)" \[.*fillcolor=(\w+)', dot, re.MULTILINE))
    assert fills == {
        book[number].hex(): color
        for number, color in enumerate(["red", "yellow", "red", "green", "green", "green", "green", "gray"])
    }
    assert "digraph peerscope {" in dot
    assert "rankdir=LR" in dot
    assert "shape=circle" in dot
    assert line_of(dot, 'xlabel="down"').startswith(f'  "{book[0].hex()}"')


def test_strangers_are_hollow_overlays_double_estimates_dotted_and_what_splits_is_marked() -> None:
    book = Book()
    join(book, 0, node="yggdrasil", node_id="a")
    book.introduce(1)
    tell(book, 0, [1], overlay=[("far", 70_000)], coordinate=NEAR, rtt_us=None)
    tell(book, 1, coordinate=FAR)
    dot = to_dot(topology(book.snapshot(1.0)))
    assert "style=dashed" in line_of(dot, '  "yggdrasil:far" [')
    assert "fillcolor" not in line_of(dot, '  "yggdrasil:far" [')
    assert 'color="orange:white:orange"' in line_of(dot, '-> "yggdrasil:far"')
    assert "style=dotted" in line_of(dot, f'-> "{book[1].hex()}"')
    book = barbell()
    dot = to_dot(topology(book.snapshot(1.0)))
    assert {line.split('"')[1] for line in dot.splitlines() if "peripheries=2" in line} == {
        book[number].hex() for number in (3, 4, 5)
    }
    assert dot.count('label="bridge"') == 2


def test_labels_are_short_ids_over_regions() -> None:
    book = barbell()
    dot = to_dot(topology(book.snapshot(1.0)))
    assert f'label="{book[0].hex()[:10]}\\nside-0"' in line_of(dot, f'  "{book[0].hex()}" [')
    assert f'label="{book[4].hex()[:10]}"' in line_of(dot, f'  "{book[4].hex()}" [')


@pytest.mark.tools
@pytest.mark.parametrize("clusters", [False, True])
def test_graphviz_draws_everybody_whatever_they_call_themselves(need: Callable[[str], str], clusters: bool) -> None:
    found = topology(hostile().snapshot(1.0))
    drawing = rendered(to_dot(found, clusters=clusters), need("dot"))
    assert len(titles(drawing, "node")) == len(set(titles(drawing, "node"))) == len(found.peers) == 16
    assert len(titles(drawing, "edge")) == len(found.links)
    assert len(titles(drawing, "cluster")) == (len(found.regions) if clusters else 0)
    said = {"".join(text.itertext()) for text in drawing.iter(f"{SVG}text")}
    for name in ('<img src=x onerror="alert(1)">', "]]> --> <b>bold</b> &lt;i&gt; &#60; &nbsp;", "{a|b} <port> \\l\\r"):
        assert name in said
    assert 'quote " and \\ and \\N and \\" end \\' in said
    assert not list(drawing.iter(f"{SVG}img"))


@pytest.mark.tools
def test_graphviz_draws_an_empty_map(need: Callable[[str], str]) -> None:
    assert titles(rendered(to_dot(Topology((), (), {}, (), (), (), ())), need("dot")), "node") == []
